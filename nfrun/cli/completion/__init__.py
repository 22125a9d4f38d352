"""Completes command lines in shells.

`shell_scripts` has the functions that shells call, and installs them. These start nfrun with the line in variables of
the environment; `answer` then prints the candidates. `command_line` finds out what stands at the cursor, by the same
declarations as the parsers, and `candidates` the names that may stand there. Nothing here imports pyarrow or typer, or
runs code of a pipeline.
"""
