"""A recorded run as one HTML page, from its journal and the tables that are kept.

`run_data.py` puts the document of a run together, as plain JSON values: `node_data.py` has the nodes, `table_data.py`
the first rows and the columns of tables, `recorded_graph.py` which node read what, and `critical_path.py` which nodes
the run waited for. It takes no lock and changes nothing. `html_page.py` makes the page of a document: its template,
styles and scripts are in `assets/`.
"""
