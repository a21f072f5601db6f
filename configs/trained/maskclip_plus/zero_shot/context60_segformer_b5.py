"""Zero-shot PASCAL Context with background: SegFormer-b5, 40000 iterations.

A later fork's settings; no published number is known.
"""

_base_ = ["../_base_/zero_shot_context60.py", "../_base_/student_segformer_b5.py"]

model = dict(student=_base_.student)
