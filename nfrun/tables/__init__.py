"""Arrow tables: content digests, file formats, and the stores that pass outputs from node to node.

`store.py` keeps the outputs of a run. `frozen.py` copies memory that a node could still change, and `stored_form.py`
and `dictionaries.py` give tables the form that readers of their files get. `write_queue.py` orders the writes of
outputs, which `writer_thread.py` does; `ipc.py` and `output_files.py` write their Arrow files, and `checksum_thread.py`
reads those again that have no checksum then. `file_table.py` stands for a table that stays in the user's files, and
`footers.py` reads which columns such files have.
`worker_store.py` is the store inside a worker process; `json_store.py` passes JSON, for comparison; `handoffs.py` names
the store of each handoff, and `late_store.py` makes it when a table is needed. `stored_files.py` fetches outputs that
are in a place which machines share. `file_io.py` reads and writes the user's files: Parquet, CSV, JSON lines, Arrow;
`csv_files.py` reads the columns of CSV, over `csv_source.py`, which reads its rows, and `csv_records.py`, which finds
their places; `csv_options.py` names the options, `csv_values.py` reads foreign numbers and dates, and
`exact_numbers.py` large ones;
`file_writers.py` has the writer of each format, `table_folders.py` writes folders of files, and `partitions.py` names
the folders of partitions. `digest.py` hashes content, and `plain_arrays.py` gives arrays a plain form.
`file_outputs.py` takes over outputs that are files or folders. `gathered.py` puts the tables of cells together.
`python_values.py` gives values that are shown. `remote_versions.py` asks services for the versions of files.
"""
