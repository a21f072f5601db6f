"""Draw label maps, attention and probabilities. Needs NumPy, OpenCV and Pillow only."""
