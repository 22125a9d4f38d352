"""Turns a YAML file into a checked `Pipeline`.

`loader.py` checks the document that `yaml` reads (schema, expressions, references, node kinds) and builds the
pipeline. `resolve.py` then binds the parameters, has `cells.py` make a node for each cell of a matrix, evaluates the
expressions, and has `subpipelines.py` put the nodes of other files in the place of those that name them. Of a pipeline
that a program builds, `built_document.py` has the document, and writes it. Each step raises one SpecError with all the
problems it found, as diagnostics with source spans.
"""
