"""A recorded run as one HTML page, from its journal and the tables that are kept.

`html_page.py` makes the page of a document: its template, styles and scripts are in `assets/`. `run_data.py` puts the
document together, as plain JSON values. `recorded.py` collects all that is recorded of the run, `run_times.py` says
what its time went to, and `output_data.py` what nodes printed and what their outputs hold, with `table_data.py` for
tables. `recorded_trace.py` makes the trace of a run instead. The package takes no lock and changes nothing.
"""
