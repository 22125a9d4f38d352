"""Finds what the code of nodes shows about reuse and timing, without running it.

`known_facts.py` returns the facts of functions, also those that an earlier run has found. `fact_reader.py` collects the
facts of all code that a function reaches (`code_facts.py`), and `statement_reader.py` reads one statement. `names.py`
resolves aliases, `global_state.py` lists uses of process-global state, `clocks.py` and
`script_clocks.py` what asks for the time, `addresses.py` finds hosts, and `memos.py`
recognizes functions that keep their results. `unseen_files.py` finds the files that code reads unseen: by the calls
that `unseen_calls.py` lists, with the paths that `path_values.py` puts together. It has the attributes of classes from
`class_attributes.py`.
"""
