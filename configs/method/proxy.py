"""ProxyCLIP (arXiv 2408.04883): attention from the features of a vision foundation model."""

model = dict(attention=dict(type="proxy"))
