"""Measurements of Restante against named references, both measured in one run, in turn. Nothing imports this."""
