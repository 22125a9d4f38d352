"""The kinds of node: `python`, `sql`, `run`, `read` and `write`, one module each.

`base` defines what a kind offers (`check` and `run`) and what it gets (`NodeContext`). `registry` finds the module of a
kind. `external_files` and `sql_files` find the files outside of a run that nodes read and write.

Other packages use:

- `base`: `CancelToken`, `GRACE_SECONDS`, `NodeError`
- `external_files`: `external_outputs`, `ExternalInputs`
- `registry`: `kind_of`
"""
