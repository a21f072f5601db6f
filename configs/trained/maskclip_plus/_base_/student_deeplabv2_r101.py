"""DeepLabv2 on a ResNet-101, and the published optimiser and schedule, for 16 images a step."""

student = dict(type="deeplabv2_r101")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0005),
)
param_scheduler = [dict(type="WarmupPolyLR", by_epoch=False, power=0.9, eta_min=1e-4)]
