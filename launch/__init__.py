"""What `make run` does: first what needs nothing but Debian's Python, then, in the venv, the processes."""
