"""A recorded run as one page: what it shows, as plain JSON values, from the journal and the tables that are kept.

`run_data.py` puts the document together: `node_data.py` has the nodes, `table_data.py` the first rows and the columns
of tables, `recorded_graph.py` which node read what, and `critical_path.py` which nodes the run waited for. It takes no
lock and changes nothing.
"""
