"""Zero-shot PASCAL VOC 2012 with background: SegFormer-b5, 20000 iterations.

No published run is known: iterations are DeepLabv2's, the optimiser that of SegFormer on Context.
"""

_base_ = ["../_base_/zero_shot_voc21.py", "../_base_/student_segformer_b5.py"]

model = dict(student=_base_.student)
