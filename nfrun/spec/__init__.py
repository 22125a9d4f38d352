"""From YAML to a checked pipeline: documents with positions, the schema, parameters and expressions."""
