"""Trials that break things from outside while nfrun is at work: `python -m tests.faults.<name> --trials N --seed S`.

`kill`, `orphans`, `stops`, `starters`, `damage`, `io_errors`, `hostile`, `flood` and `clock` are such scripts, `mixed`
is the pipeline that several of them run, `rig` and `processes` what they share. They know the command line and what is
promised of the work folder, and no more. `docs/reliability.md` has the promises; `test_trials` runs a tenth.
"""
