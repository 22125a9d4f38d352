"""Shows people a run while it is under way.

`live_view` shows it on a terminal, in the rows that `live_rows` makes. `plain_lines` prints a line for each event, as
in a pipe.
"""
