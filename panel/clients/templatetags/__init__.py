"""Template tags of the part."""
