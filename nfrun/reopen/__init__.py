"""Opens the tables of a recorded run again, compares their rows, and starts Python with what a node of it had.

`opened_tables.py` finds and checks the tables of a run, `fetched_outputs.py` fetches those that are in a place which
machines share, and `source_tables.py` reads those again that became no file.
`row_diff.py` compares the rows of two tables. `current_pipeline.py` binds the pipeline file as it is now with the
parameters of the run. `node_shell.py` makes the names of a shell about a node, and `rerun_context.py` runs the node in
it. Nothing here takes a lock or changes the work folder.

Other packages use:

- `current_pipeline`: `bind_as_in`, `bound_pipeline`, `node_of`, `pipeline_file`
- `first_rows`: `find_output`, `open_table`, `open_tables`
- `node_shell`: `NodeShell`
- `opened_tables`: `RunTables`
- `python_prompt`: `run_prompt`
- `row_diff`: `compare_output`
"""
