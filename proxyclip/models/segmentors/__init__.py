"""Methods that are more than an attention, one paper a file.

They edit several layers, look across windows, or work on scores; all else is `ProxyCLIPSegmentation`'s. They override
one of its few steps:

    guide(tiles)            VFM features (n, D, h, w), or None
    extract_feat(tiles)     cosine similarity to every name of tiles (n, 3, h, w) -> (n, names, h', w')
    extract_guided(tiles, guide)  the same under a guide that is made already
    extract_windows(tiles)  the same for all windows of each of several images: lists in, a list out
    similarity(features)    dense features (n, d, h, w) -> (n, names, h, w)
    classify(scores)        scores (names, H, W) -> class probabilities (classes, H, W)
    decide(chunks, image)   row chunks of scores (names, rows, W) -> labels (H, W), probabilities or None

Each is registered in MMSegmentation's MODELS under its class name, and chosen by `model.type`, which may also be a path
ending in .py. A class attribute `guided` tells if it needs a VFM: True, False, or None where its attention decides.
"""
