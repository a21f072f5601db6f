"""Parts that several models share: transformer block, position tables, attention on a CPU."""
