"""Sees what the Python code of nodes opens, writes and connects to while it runs.

`audit_events.py` passes audit events on to `run_watch.py`, which collects what attempts opened, also in forked child
processes, and finds out whose code is running. `counted_files.py` decides which files count. `seen_files.py` takes the
checksums of files by their names in the history, and decides at the end of an attempt which files are inputs and which
are outputs. `attribution.py` finds the nodes for which files count that shared code opened. `process_state.py` sets the
state of a worker process before each attempt.
"""
