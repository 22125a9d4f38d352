"""Decides which nodes need not run again, and records in the journal of a run what that decision needs.

`run_cache.py` joins the parts for one run. `cache_key.py` computes cache keys, and `remembered_code.py` takes over what
earlier runs have read of the code for them. `observed_files.py` keeps which files nodes read and wrote in this run, and
`written_files.py` which they wrote in earlier ones too. Before the run, `reuse_decision.py` compares keys and files
with those in the journals of earlier runs, `change_text.py` describes what changed, and `selected_inputs.py` finds what
selected nodes read of the others; during the run, `hits.py` makes the outcomes of hits, `cached_attempts.py` looks up
the nodes that could not be decided before, and `outdated_results.py` finds the results that were made of a table that
is another one now. `journal_writer.py` writes into the journal how each node ended. `health.py` is for
`nfrun doctor`.
"""
