"""Keeps what past runs left: the work folder, the journals of the runs, and their tables.

`work_dir.py` manages the work folder, with the locks of `lock_files.py`. `journal.py` writes and reads the journal of
a run, with `finished_output.py`, `node_times.py` and `present_address.py`, and `run_plan.py` its plan. `run_index.py`
keeps an index of all journals, with `index_file.py` and `index_tables.py`; by it, `run_history.py` finds the entries
of nodes and the files of their outputs. `kept_tables.py` finds the tables of all runs, and `eviction.py` chooses
which of them to remove. `prune.py` removes what is no longer needed, and `stored_prune.py` what is not needed in
places that machines share. `health.py` checks a work folder for `nfrun doctor`.
"""
