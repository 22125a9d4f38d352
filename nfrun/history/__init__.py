"""Keeps what past runs left: the work folder, the journals of the runs, and their tables.

`work_dir.py` manages the work folder, with the locks of `lock_files.py`. `journal.py` writes and reads the journal of
a run, with `finished_output.py`, `node_times.py` and `present_address.py`, and `run_plan.py` its plan. `run_index.py`
keeps an index of all journals, with `index_file.py` and `index_tables.py`; by it, `run_history.py` finds the entries
of nodes and the files of their outputs. `kept_tables.py` finds the tables of all runs, and `eviction.py` chooses
which of them to remove. `prune.py` removes what is no longer needed, and `stored_prune.py` what is not needed in
places that machines share. `health.py` checks a work folder for `nfrun doctor`.

Other packages use:

- `given_tables`: `remove_old_inputs`
- `health`: `check_work_dir`
- `index_tables`: `definition_of`, `JournalRows`
- `journal`: `FinishedNode`, `FinishedOutput`, `Journal`, `JournalContents`, `read_ends`, `read_journal`, `RunEnding`,
  `RunHeader`, `RUNS_LAST`, `UnfinishedNode`
- `kept_tables`: `kept_tables`, `may_be_over_budget`, `remove_over_budget`, `remove_stored_over_budget`
- `map_folders`: `FolderUse`, `kept_segments`, `MAP`, `mark_used`
- `node_times`: `attempts_of_line`, `FailedAttempt`, `line_of_attempt`, `line_of_end`, `line_of_times`, `NodeTimes`,
  `times_of_line`
- `prune`: `plan_prune`
- `run_history`: `FoundOutput`, `is_intact`, `reader_digest`, `RunHistory`, `table_path`
- `run_index`: `RunIndex`
- `run_plan`: `Circumstances`, `definition_lines`, `PlannedNode`, `read_node_names`, `read_run_plan`, `RunPlan`,
  `write_run_plan`
- `work_dir`: `CHECKSUMS`, `is_ours`, `is_run_id`, `JOURNAL`, `LOGS`, `new_run_id`,
  `pipeline_file`, `run_number`, `SCRATCH`, `WorkDir`
"""
