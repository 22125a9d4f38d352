"""Keeps what past runs left: the work folder with its locks, the journals of runs and their index, and their tables."""
