"""Finds what the code of nodes shows about reuse and timing, without running it.

`fact_reader.py` collects the facts of all code that a function reaches (`code_facts.py`), and `statement_reader.py`
reads one statement: its facts, and its paths as terms (`path_terms.py`). `named_files.py` joins the paths of a node:
the files that it names, and those that calls listed in `unseen_calls.py` read. `names.py` resolves aliases,
`global_state.py` lists uses of process-global state, `clocks.py` and `script_clocks.py` what asks for the time, and
`addresses.py` finds hosts.
"""
