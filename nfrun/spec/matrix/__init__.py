"""Expands the matrix of a pipeline: a node for each cell.

`axes.py` reads which axes a file declares, and which of them its nodes have. `inputs.py` checks what nodes read along
their axes. `values.py` finds the values of axes, those in the file with `literal_values.py`, those from file names with
`file_names.py`. `expansion.py` makes the nodes of the cells, and `cells.py` finds which cells there are.
"""
