"""Turns a YAML file into a checked `Pipeline`.

`loader.py` checks the document that `nfrun.yaml` reads (schema, expressions, references, node kinds) and builds the
pipeline. `binder.py` then binds the parameters, has the package `matrix` make a node for each cell, evaluates the
expressions, and has `subpipelines.py` put the nodes of other files in the place of those that name them. `resolve.py`
does all of it. Of a pipeline that a program builds, `built_document.py` has the document, and `yaml_text.py` writes it.
Each step raises one SpecError with all the problems it found, as diagnostics with source spans.

Other packages use:

- `binder`: `bind`, `expand`, `secrets_of`
- `budgets`: `with_memory_here`
- `built_document`: `built_document`, `BuiltPipeline`, `CONTROL`
- `known_checks`: `KnownChecks`
- `loader`: `read_pipeline`
- `modeline`: `check_modeline`
- `names_in_file`: `names_in_file`, `NamesInFile`
- `node_part`: `input_name`, `node_part`
- `pipeline_warnings`: `warnings_of`
- `resolve`: `functions_of`, `resolve`, `Resolved`
- `schema`: `document_schema`, `schema_text`
- `validate`: `validate_file`
- `yaml_text`: `yaml_text`
"""
