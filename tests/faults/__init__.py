"""Trials that break things from outside while nfrun is at work: `python -m tests.faults.<name> --trials N --seed S`.

`kill`, `starters`, `damage`, `io_errors`, `hostile` and `clock` are such scripts, `mixed` is the pipeline that several
of them run, `rig` what they share. They know the command line and what is promised of the work folder, and no more.
"""
