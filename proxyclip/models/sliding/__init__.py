"""Sliding windows: plan, batch, stitch, and labels from scores."""
