"""Reads YAML files into plain values, and knows where in the file each value stands.

`text_file.py` reads and decodes a file. `document.py` makes a `Document` of it: `fast_parser.py` parses plain YAML, and
`offset_parser.py` all YAML, with the offset of each value. `syntax_messages.py` words the errors of the syntax.
"""
