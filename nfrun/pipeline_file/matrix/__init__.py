"""Expands the matrix of a pipeline: a node for each cell.

While a file is read, `axes.py` finds which axes it declares and which of them its nodes have, and `inputs.py` checks
what nodes read along their axes. When parameters are bound, `values.py` finds the values of axes, those from file names
with `file_names.py`, and `expansion.py` makes the cells. `axis_values.py` checks values, and makes the texts for them
in ids.
"""
