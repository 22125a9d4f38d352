"""Reads the user's Python code without running it, and imports it from source.

`module_finder.py` locates modules and `function_lookup.py` finds functions and classes, with what they take, which
`names_reader.py` reads. `fingerprint.py` has the digests of the project code that a function may reach;
`known_digests.py` keeps them, also across runs. `reached_code.py` computes those that are new. It uses `sources.py` and
`module_index.py` for files, `symbols.py`, `uses.py` and `bindings.py` for syntax trees, `import_effects.py` for what an
import changes elsewhere, and `distributions.py` for the versions of installed packages. `missing_imports.py` and
`reached_imports.py` find imports of packages that are not installed, with the syntax trees of `always_imported.py`.
`program_functions.py` describes functions that a program gives as objects. `source_import.py` makes Python import what
the others read; `module_space.py` does so for one run of several in a process.

Other packages use:

- `bindings`: `argument_names`, `binds`, `body_of`, `COMPREHENSIONS`, `FUNCTIONS`, `Imported`, `parts_of`, `scope`
- `distributions`: `Distributions`, `normalized`
- `fingerprint`: `Fingerprints`
- `folder_code`: `FolderCode`
- `function_lookup`: `FunctionLookup`, `LookupResult`, `PROGRAM`
- `known_modules`: `KnownModules`
- `missing_imports`: `import_hint`, `install_hint`, `packages_at_import`
- `module_finder`: `find_module`, `hidden_files`, `is_installed`, `OURS`
- `module_space`: `FolderModules`, `with_short_names`
- `names_reader`: `ignored_warnings`, `unreturned_by`
- `program_functions`: `described`, `program_module`
- `reached_code`: `Statement`
- `reached_imports`: `MissingImports`
- `signatures`: `ClassSignature`, `Signature`, `signature_of`
- `source_import`: `forget_imported`, `import_for_process`
- `symbols`: `Definition`
"""
