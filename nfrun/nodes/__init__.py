"""The kinds of node: `python`, `sql`, `run`, `read`, `write`, `pipeline` and `use`, one module each.

`base` defines what a kind is (`Kind`) and what it gets for an attempt (`NodeContext`). `registry` lists the kinds.
`user_function`, `mapped_python` and `instances` call functions and classes; `map_form` says what mapped ones take, and
`annotations` what an annotation says of that. `use_rows` calls plug-ins for each row. `external_files` and
`declared_files` find the files outside of a run that nodes read and write. `texts` has what reads scripts and queries
for the names of files. `returned_tables` and `made_files` are about what functions return, and `read_files` about files
that a `read` node hands on. `query_parts` runs a query on several threads, which `spare_threads` shares out, and
`needed_columns` reads what it needs of Arrow files.
"""
