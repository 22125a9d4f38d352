"""Looking back at recorded runs: lists runs, shows them, their nodes and what these printed, and compares two runs.

`run_reference.py` lists the runs, and finds the work folder of a command and the run that a user names.
`recorded_run.py` reads the nodes of a run from its journal, `log_files.py` what they printed, and `run_diff.py`
compares two runs. `run_view.py` lays runs and nodes out as text and as JSON, with the columns of `layout.py`.
`command_again.py` words the command that runs a pipeline again.

All of it reads journals and log files. It opens no table, parses no pipeline file, takes no lock and changes nothing,
so that it works beside a run, on a copy of a work folder, and on one that cannot be written.
"""
