"""Reads the user's Python code without running it, and imports it from source.

`module_finder.py` locates modules and `function_lookup.py` finds functions and classes, with what they take, which
`names_reader.py` reads. `fingerprint.py` keeps the digests of the project code that a function may reach, also across
runs. `reached_code.py` computes those that are new. It uses `module_index.py` for files, `bindings.py`
for syntax trees, `effects.py` for what an import changes elsewhere, and `distributions.py` for the versions of
installed packages. `program_functions.py` describes functions that a program gives as objects. `source_import.py` makes
Python import what the others read; `module_space.py` does so for one run of several in a process.
"""
