"""Looking back at recorded runs: lists runs, shows them, their nodes and what these printed, and compares two runs.

`work_folder.py` finds the work folder of a command, `run_list.py` the runs in it, and `run_reference.py` the one that a
user names. `recorded_run.py` reads the nodes of a run from its journal, `log_files.py` what they printed, and
`run_diff.py` compares two runs. Modules named `…_view` and `…_text` lay this out as text and as JSON.
`command_again.py` words the command that runs a pipeline again.

All of it reads journals and log files. It opens no table, parses no pipeline file, takes no lock and changes nothing,
so that it works beside a run, on a copy of a work folder, and on one that cannot be written.

Other packages use:

- `command_again`: `command_for_tables`, `command_to_go_on`
- `diff_text`: `diff_document`, `diff_lines`
- `layout`: `Look`
- `log_files`: `find_logs`, `last_lines`, `log_line`, `log_lines`, `logs_of_nodes`
- `log_follower`: `follow`
- `node_view`: `check_lines`, `failure_of_node`, `input_lines`, `log_tails`, `node_document`, `node_head`,
  `output_lines`
- `recorded_run`: `ends_of`, `Node`, `read_cells`, `read_inputs`, `read_node`, `read_nodes`, `recorded`,
  `RecordedNode`, `which_cell`
- `run_diff`: `ChangedRow`, `diff_runs`, `find_two_runs`, `NodeDiff`, `OutputDiff`, `RowDiff`, `schema_columns`,
  `Timing`
- `run_list`: `count_nodes`, `list_runs`, `ListedRun`, `run_before`, `RUNNING`
- `run_reference`: `find_run`, `find_running`, `only_running`
- `run_view`: `cell_lines`, `cells_document`, `failure_lines`, `head_lines`, `node_lines`, `run_document`
- `runs_view`: `newest_rows`, `runs_json`, `runs_text`
- `work_folder`: `find_work`, `locate_work`, `name_of`
"""
