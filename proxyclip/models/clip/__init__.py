"""CLIP's image and text towers, opened at their dense end."""
