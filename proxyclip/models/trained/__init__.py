"""Models that train.py trains: MaskCLIP+ and CLIP-RC."""
