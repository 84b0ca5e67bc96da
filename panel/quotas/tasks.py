"""Jobs of the part."""
