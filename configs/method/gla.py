"""GLA-CLIP (CVPR 2026): proxy attention across all windows of an image, its beta and gamma set by the windows."""

model = dict(type="GLACLIPSegmentation", attention=None)
