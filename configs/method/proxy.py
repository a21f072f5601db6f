"""ProxyCLIP (arXiv 2408.04883): proxy attention from the config's VFM."""

model = dict(attention=dict(type="proxy"))
