"""SegFormer on MiT-b2; optimiser and schedule are those of b0."""

_base_ = "./student_segformer_b0.py"

student = dict(type="segformer_b2")
