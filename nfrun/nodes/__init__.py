"""The kinds of node: one module each, and the registry that lists them.

Other packages use:

- `base`: `CancelToken`, `GRACE_SECONDS`, `NodeError`
- `external_files`: `external_outputs`, `ExternalInputs`
- `registry`: `kind_of`
"""
