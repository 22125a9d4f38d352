"""Expands the matrix of a pipeline: a node for each cell.

While a file is read, `axes.py` finds which axes it declares and which of them its nodes have, and `inputs.py` checks
what nodes read along their axes. When parameters are bound, `resolution.py` does the rest: `values.py` finds the values
of axes, those from file names with `file_names.py`; `expansion.py` makes the cells, and `cells.py` finds which there
are. `literal_values.py` checks values, and `cell_ids.py` makes the texts for them in ids.
"""
