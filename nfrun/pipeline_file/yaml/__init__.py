"""Reads YAML files into plain values, and knows where in the file each value stands.

`text_file.py` reads and decodes a file. `document.py` makes a `Document` of it, with the values and the offset of each
that it builds from libyaml's events. `syntax_messages.py` words the errors of the syntax.
"""
