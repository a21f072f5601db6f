"""Zero-shot COCO-Stuff164k: SegFormer-b5, 80000 iterations.

No published run is known: iterations are DeepLabv2's, the optimiser that of SegFormer on Context.
"""

_base_ = ["../_base_/zero_shot_coco_stuff164k.py", "../_base_/student_segformer_b5.py"]

model = dict(student=_base_.student)
