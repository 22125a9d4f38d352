"""Opens the tables of a recorded run again, compares their rows, and starts Python with what a node of it had.

`opened_tables.py` finds and checks the tables of a run, and reads those again that became no file; `first_rows.py`
finds what was written, and opens it without a check of all of it. `row_diff.py` compares the rows of two tables.
`current_pipeline.py` binds the pipeline file as it is now with the parameters of the run. `node_shell.py` makes the
names of a shell about a node, and runs it; `rerun_context.py` runs the node in it. Nothing here takes a lock or changes
the work folder.
"""
