"""Sees what the Python code of nodes opens, writes and connects to while it runs.

`places.py` decides which files count. `recorded_files.py` names them as the journal has them and takes their
checksums. `process_state.py` sees changes of state that all nodes of a process share.

Other packages use:

- `places`: `Places`
- `process_state`: `Marks`, `ProcessState`, `WorkerState`
- `recorded_files`: `RecordedFiles`, `recorded_files`
"""
