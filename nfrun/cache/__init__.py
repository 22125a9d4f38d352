"""The work folder: journal, history, cache keys and the decision what need not run again.

Other packages use:

- `journal`: `next_number`, `Started`
- `prune`: `sweep`
- `reuse_decision`: `Choice`
- `run_cache`: `Book`, `foreseen`, `LASTING`
- `work_dir`: `LOGS`, `new_run_id`, `SCRATCH`, `WORK`, `WorkFolder`
"""
