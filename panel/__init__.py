"""The panel: a Django project with one package for each thing a person would name."""
