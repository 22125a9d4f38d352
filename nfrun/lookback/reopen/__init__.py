"""Opens the tables of a recorded run again, compares their rows, and starts Python with what a node of it had.

`first_rows.py` finds and checks what a run has written, and opens a table without a check of all of it;
`opened_tables.py` opens checked tables, and reads those again that became no file. `row_diff.py` compares the rows of
two tables. `current_pipeline.py` binds the pipeline file as it is now with the parameters of the run. `node_shell.py`
makes the names of a shell about a node, and runs it; `rerun_context.py` runs the node in it. Nothing here takes a lock
or changes the work folder.
"""
