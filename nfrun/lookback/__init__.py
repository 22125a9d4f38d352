"""Looking back: lists runs, shows them, their nodes and what these printed, from journals and log files.

`work_folder.py` finds the work folder of a command, `run_list.py` the runs in it, and `run_reference.py` the one that a
user names. Nothing here takes a lock or changes a file, so that all of it works beside a run, on a copy of a work
folder, and on one that cannot be written.

Other packages use:

- `layout`: `Look`
- `log_files`: `find_logs`, `log_lines`
- `log_follower`: `follow`
- `node_view`: `failure_of_node`, `input_lines`, `log_tails`, `node_document`, `node_head`, `output_lines`
- `recorded_run`: `read_inputs`, `read_node`, `read_nodes`
- `run_list`: `list_runs`, `ListedRun`, `RUNNING`, `runs_under_way`
- `run_reference`: `find_run`, `find_running`, `LAST`
- `run_view`: `failure_lines`, `head_lines`, `node_lines`, `run_document`
- `runs_view`: `newest_rows`, `runs_json`, `runs_text`
- `work_folder`: `find_work`
"""
