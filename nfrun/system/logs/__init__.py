"""Captures what nodes print and log, writes log files, and redacts secrets.

`print_capture.py` routes prints to the attempt that made them, and `node_logs.py` stores them. `redaction.py` redacts
text, and `event_redaction.py` applies it to events.
"""
