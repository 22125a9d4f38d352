"""Finds the files that scripts and queries name, without running them.

`script_files.py` follows a shell script, which `script_words.py` splits into words, and the scripts that it starts.
`sql_files.py` finds the names in a query.
"""
