"""DeepLabv3+ on a ResNet-101; optimiser and schedule are DeepLabv2's."""

_base_ = "./student_deeplabv2_r101.py"

student = dict(type="deeplabv3plus_r101")
