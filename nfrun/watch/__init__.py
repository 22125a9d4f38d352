"""Sees what the Python code of nodes opens, writes and connects to while it runs.

`audit_hook.py` passes audit events on to `run_watch.py`, which collects what attempts opened: `file_access.py` and
`connections.py` read the events, `stack.py` finds out whose code is running, and `places.py` decides which files count.
`seen_files.py` settles at the end what is an input and what an output. `recorded_files.py` names files as the journal
has them and takes their checksums. `attribution.py` finds the nodes that share what was opened. `process_state.py` sees
changes of state that all nodes of a process share.

Other packages use:

- `attribution`: `Attribution`
- `places`: `Places`
- `process_state`: `Marks`, `ProcessState`, `WorkerState`
- `recorded_files`: `RecordedFiles`
- `run_watch`: `RunWatch`
"""
