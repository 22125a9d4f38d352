"""Finds the files that scripts and queries name, without running them.

`script_files.py` follows a shell script, which `shell_words.py` splits into words, and the scripts that it starts.
`python_scripts.py` reads those in Python. `sql_files.py` finds the names in a query, and `sql_arguments.py` those that
the query computes.
"""
