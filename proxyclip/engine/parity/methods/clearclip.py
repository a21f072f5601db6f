"""ClearCLIP: windows, slides, and the ablations with and without residual."""

from proxyclip.engine.parity.case_maker import CaseMaker
from proxyclip.models.segmentors.proxyclip import ProxyCLIPSegmentation

_make = CaseMaker("clearclip", ProxyCLIPSegmentation, dict(attention="clearclip", logit_scale=50))

CASES = (
    _make.window("smooth64", "smooth64"),
    _make.window("smooth112", "smooth112"),
    _make.window("nonsquare96x144", "smooth336x500[100:196,150:294]"),
    _make.window("smooth112_with_residual", "smooth112", attention=dict(type="clearclip", residual=True)),
    _make.window("smooth112_sclip_no_residual", "smooth112", attention=dict(type="sclip", residual=False)),
    _make.image("slide96x144", "smooth96x144", 0.0, 0.4, probabilities=True),
    _make.image("slide112_c56", "smooth112", 0.0, classes="plain5", probabilities=True),
)
