"""Every method on tiny random weights against arrays of its published code.

A method's cases are one file, `methods/NAME.py`, with a tuple `CASES`; the file is found by its name, as plug-ins are.
`methods/naclip.py` is a plain example:

    _make = CaseMaker("naclip", ProxyCLIPSegmentation, dict(attention="naclip"))
    CASES = (
        _make.window("smooth112", "smooth112"),                              an image that is one window
        _make.image("slide96x144", "smooth96x144", 0.0, 0.4, refine=[...]),  one in windows, with two thresholds
    )

`depth=12` and `vfm="dino"` among the options choose the tiny models. Further stages are a function
`more(segmentor, image) -> {stage: full array}` and their tolerances `stages={stage: tolerance}`. A case in general is

    ParityCase(method, name, compute, stages)
        compute(world) -> {stage: full array}, as tensor, array or number; `world` is a `ParityWorld`
        stages  {stage: Tolerance or ParityStage}

The array of a stage is CASE_STAGE of methods/METHOD.npz, and may be thinned (`proxyclip.engine.parity.reference`);
`ParityStage` names another array or file, or the rows that are stored. `python -m proxyclip parity` prints all cases,
and `tests/parity/test_methods.py` asserts them, and that no array of a method is left out.
"""
