"""Vision foundation models as guides: one model family, one file; the file name is its name in a config.

The contract, all of it:

    a frozen nn.Module with .patch (pixels a side); forward(image) -> features
        image     RGB in [0, 1] (B, 3, H, W), sides multiples of .patch
        features  (B, D, h, w)

The constructor takes `model` (which one of the family) and `checkpoint` (a local weights file), and never ends with
random weights. Each family owns its normalisation and its input size.
"""
