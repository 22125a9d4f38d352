"""Sees what the Python code of nodes opens, writes and connects to while it runs.

`audit_hook.py` passes audit events on to `run_watch.py`, which collects what attempts opened. For that,
`file_access.py` and `connections.py` read the events, `stack.py` finds out whose code is running, and
`counted_files.py` decides which files count. `forked_children.py` has what forked child processes open. `seen_files.py`
decides at the end of an attempt which files are inputs and which are outputs. `recorded_files.py` gives files their
names in the journal and takes their checksums. `attribution.py` finds the nodes for which files count that shared code
opened. `process_state.py` sets the state of a worker process before each attempt.
"""
