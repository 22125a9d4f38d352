"""From YAML to a checked pipeline: documents with positions, the schema, parameters and expressions.

Other packages use:

- `binder`: `bind`
- `loader`: `read_pipeline`
- `parameters`: `params_file`
- `schema`: `schema_text`
- `text_file`: `read_text`
- `yaml_document`: `Document`
"""
