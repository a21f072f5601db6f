"""Zero-shot PASCAL Context with background: SegFormer-b0, 40000 iterations.

The settings of a later fork's SegFormer; no published number is known.
"""

_base_ = ["../_base_/zero_shot_context60.py", "../_base_/student_segformer_b0.py"]

model = dict(student=_base_.student)
