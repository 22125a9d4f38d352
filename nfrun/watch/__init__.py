"""Sees what the Python code of nodes opens, writes and connects to while it runs.

`places.py` decides which files count. `recorded_files.py` names them as the journal has them and takes their
checksums.

Other packages use:

- `places`: `Places`
- `recorded_files`: `RecordedFiles`, `recorded_files`
"""
