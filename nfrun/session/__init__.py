"""From options to a finished run. The command line and Python programs run pipelines with the same functions.

Nothing here prints or handles signals. What belongs to the process, such as the collector, is changed for a command
only (`Caller.in_program`).
"""
