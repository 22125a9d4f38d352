"""The work folder: journal, history, cache keys and the decision what need not run again.

Other packages use:

- `journal`: `next_number`, `RunHeader`
- `prune`: `plan_prune`
- `reuse_decision`: `ReuseDecision`
- `run_cache`: `forecast`, `PERSISTENT_HANDOFFS`, `RunCache`
- `work_dir`: `LOGS`, `new_run_id`, `SCRATCH`, `WORK_DIR`, `WorkDir`
"""
