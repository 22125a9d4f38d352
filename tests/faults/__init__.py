"""Trials that break things from outside while nfrun runs: `python -m tests.faults.<name> --trials N --seed S`.

`kill`, `adbc_kill`, `orphans`, `stops`, `starters`, `damage`, `io_errors`, `power_loss`, `hostile`, `flood`,
`late_logs` and `clock` are the scripts. `mixed` is the pipeline that several of them run; `rig` and `processes` are
shared code. The scripts use only the command line and the documented promises of the work folder.
`docs/reliability.md` has the promises; `test_trials` runs a tenth of the trials.
"""
