"""How dates and numbers are written, where Django's own habits for a language are not ours."""
