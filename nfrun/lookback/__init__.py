"""Looking back: lists runs, shows them, their nodes and what these printed, from journals and log files.

`work_folder.py` finds the work folder of a command, `run_list.py` the runs in it, and `run_reference.py` the one that a
user names. `run_diff.py` compares two runs and `row_diff.py` the rows of two tables. `opened_tables.py` finds and
checks the tables of a run. `node_shell.py` makes the names of a shell about a node. Nothing here takes a lock or
changes a file, so that all of it works beside a run, on a copy of a work folder, and on one that cannot be written.

Other packages use:

- `current_pipeline`: `bind_as_in`, `bound_pipeline`, `node_of`, `pipeline_file`, `shown_outputs`
- `diff_text`: `diff_document`, `diff_lines`
- `first_rows`: `open_tables`, `table_path`
- `layout`: `Look`
- `log_files`: `find_logs`, `log_lines`
- `log_follower`: `follow`
- `node_shell`: `NodeShell`
- `node_view`: `failure_of_node`, `input_lines`, `log_tails`, `node_document`, `node_head`, `output_lines`
- `opened_tables`: `RunTables`
- `python_prompt`: `run_prompt`
- `recorded_run`: `read_inputs`, `read_node`, `read_nodes`
- `row_diff`: `compare_output`, `RowDiff`
- `run_diff`: `diff_runs`, `find_two_runs`, `OutputDiff`
- `run_list`: `list_runs`, `ListedRun`, `RUNNING`
- `run_reference`: `find_run`, `find_running`, `only_running`
- `run_view`: `failure_lines`, `head_lines`, `node_lines`, `run_document`
- `runs_view`: `newest_rows`, `runs_json`, `runs_text`
- `work_folder`: `find_work`
"""
