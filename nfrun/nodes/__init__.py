"""The kinds of node: `python`, `sql`, `run`, `read`, `write`, `pipeline` and `use`, one module each.

`base` defines what a kind is (`Kind`) and what it gets for an attempt (`NodeContext`). `registry` lists the kinds.
`user_function`, `mapped_python` and `instances` call functions and classes; `map_form` says what mapped ones take, and
`annotations` what an annotation says of that. `use_rows` calls plug-ins for each row. `external_files` and
`declared_files` find the files outside of a run that nodes read and write. `texts` has what reads scripts and queries
for the names of files. `returned_tables` and `made_files` are about what functions return, and `read_files` about files
that a `read` node hands on. `query_parts` runs a query on several threads, which `spare_threads` shares out, and
`needed_columns` reads what it needs of Arrow files.

Other packages use:

- `base`: `CancelToken`, `GRACE_SECONDS`, `Kind`, `NamedFiles`, `NodeContext`, `NodeDiagnostic`, `NodeError`,
  `output_name`, `seed_of`
- `declared_files`: `declared_files`, `failure_without`, `is_written_before`, `missing_files`, `used_files`
- `duckdb_instances`: `gives_nothing`
- `external_files`: `external_outputs`, `ExternalInputs`
- `file_names`: `may_exist`
- `folders`: `folder_of`, `folders_of`, `relative_folder`
- `instances`: `LoopClosed`, `RUN_COROUTINE`, `unused_instances`
- `map_form`: `missing_columns`
- `mapped_run`: `open_work`
- `pipeline`: `INPUT`
- `python`: `PYTHON`
- `read`: `READ`
- `registry`: `BUILT_IN`, `KINDS`, `owners_of_settings`, `written_kinds`
- `returned_tables`: `a_`, `to_table`
- `spare_threads`: `SpareThreads`
- `unwaited_files`: `unwaited_files`
- `user_checks`: `check_problems`, `make_user_check`, `missing_for`, `node_of`, `nodes_of_checks`, `query_columns`,
  `query_problems`
"""
