"""Finds what the code of nodes shows about reuse and timing, without running it.

`fact_reader.py` collects the facts of all code that a function reaches (`code_facts.py`), and `statement_reader.py`
reads one statement. `names.py` resolves aliases, and `global_state.py` lists uses of process-global state.
`installed_imports.py` lists the modules of installed packages that code imports.

Other packages use:

- `code_facts`: `CodeFacts`, `NO_FACTS`, `shared_variables`, `SharedVariable`
- `fact_reader`: `facts_of`
- `installed_imports`: `installed_imports`
"""
