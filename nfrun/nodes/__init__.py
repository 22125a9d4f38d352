"""The kinds of node: one module each, and the registry that lists them.

Other packages use:

- `base`: `GRACE_SECONDS`, `NodeError`, `Stop`
- `external_files`: `Reads`, `written_by`
- `registry`: `kind_of`
"""
