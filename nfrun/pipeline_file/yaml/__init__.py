"""Reads YAML files into plain values, and knows where in the file each value stands.

`text_file.py` reads and decodes a file. `document.py` makes a `Document` of it, with the values and the offset of each
that it builds from libyaml's events. The messages about syntax are there, too.
"""
