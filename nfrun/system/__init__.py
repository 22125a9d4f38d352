"""The operating system: files, processes, pipes, signals, memory and units.

`processes` keeps a run's processes together and ends them, and `logs` has what nodes print.
"""
