"""Evaluate one config: data loader, resumable test loop, metrics, record."""
