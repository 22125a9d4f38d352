"""Makes runs resumable: keeps the work folder and decides which nodes are cache hits.

`run_cache.py` joins the parts for one run. `journal_writer.py` records finished nodes in the journal of the run;
`history.py` finds entries in the journals of earlier runs, by the index that `run_index.py` keeps of them.
`reuse_decision.py` compares cache keys before the run, and `cached_attempts.py` serves the hits during it. `prune.py`
removes what is no longer needed.

Other packages use:

- `cache_key`: `reader_digest`
- `history`: `table_path`
- `journal`: `FinishedNode`, `FinishedOutput`, `JournalContents`, `read_ends`, `read_journal`, `RunEnding`, `RunHeader`,
  `STATUSES`, `UnfinishedNode`
- `prune`: `plan_prune`
- `reuse_decision`: `entry_changes`, `NEVER_FINISHED`, `ReuseDecision`
- `run_cache`: `forecast`, `RunCache`
- `run_index`: `RunIndex`
- `work_dir`: `is_run_id`, `JOURNAL`, `LOGS`, `new_run_id`, `run_number`, `SCRATCH`, `WORK_DIR`, `WorkDir`
"""
