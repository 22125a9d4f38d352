"""A recorded run as one HTML page, from its journal and the tables that are kept.

`html_page.py` makes the page of a document: its template, styles and scripts are in `assets/`. `run_data.py` puts the
document together, as plain JSON values. `recorded.py` collects all that is recorded of the run, and
`recorded_graph.py` which node read what. `node_data.py` has the nodes, `definitions.py` their text in the pipeline
file, `output_data.py` the content of outputs, with `table_data.py` for tables, `critical_path.py` and
`run_times.py` what the run waited for and what nfrun itself cost, and `change_data.py` what differs from the run
before. `recorded_trace.py` makes the trace of a run instead. The package takes no lock and changes nothing.
"""
