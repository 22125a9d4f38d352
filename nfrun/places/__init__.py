"""Places where outputs are that machines share: a folder that all of them see, or object storage.

`base.py` says what a place does, and `opening.py` opens one by its address. `folder.py` is a folder.
`stored_outputs.py` puts outputs of nodes into places and fetches them.

Other packages use:

- `base`: `Place`, `PlaceError`
- `opening`: `open_place`
- `stored_outputs`: `put_output`, `StoredOutputs`
"""
