"""The user's Python code: where functions are defined, what they call, and importing them from source.

Other packages use:

- `fingerprint`: `Fingerprints`
- `function_lookup`: `FunctionLookup`, `Signature`
- `module_finder`: `find_module`
- `source_import`: `import_sources`
"""
