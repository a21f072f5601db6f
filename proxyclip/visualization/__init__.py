"""Draw label maps, attention and probabilities with NumPy, OpenCV and Pillow."""
