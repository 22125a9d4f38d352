"""What tables must be like: types of columns as files name them, schemas, and the built-in checks, on Arrow alone.

`type_names.py` parses types, `column_types.py` compares them with Arrow's, and `schema_check.py` compares a table with
a schema. `built_in.py` makes the checks: `row_checks.py` finds the rows whose values fail, `unique.py` those that agree
with others, and `literals.py` turns values of the file into values of a column. `large_tables.py` asks DuckDB whether
keys of long tables are unique and whether they are there. `columns.py` gives columns a plain form.

`text_types.py` says which types text is read as. `check_values.py` checks what a file says of a check, and `finding.py`
has what a check finds.
"""
