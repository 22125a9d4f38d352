"""The data of mapped nodes: pieces of a table, results of calls in files, and the result as a whole.

`work.py` has all of a node. `cut.py` cuts the input into pieces, which `piece.py` defines, and `halves.py` halves those
that have failed; `row_keys.py` and `piece_keys.py` give them keys. `returned.py` makes columns of what a function
returned, for rows whose types `row_types.py` tells apart, `plain_rows.py` takes plain values without a table, and
`recorder.py` keeps them: `writer.py` writes them to segments, whose format is in `segment_files.py`, and `segments.py`
reads and writes them. `read_files.py` keeps which files the calls have read, and `compaction.py` puts small segments
together. `results.py` finds results by their keys, with `key_lookup.py`, `joined.py` puts them in the order of the
input, and `schemas.py` finds the columns that they have together. `failed.py` makes the table of failed rows, and
`take.py` takes rows of all types.
"""
