"""Captures what nodes print and log, writes log files, and redacts secrets."""
