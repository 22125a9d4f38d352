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

Other packages use:

- `csv_files`: `rejected_rows`, `warnings`, `with_guessed_types`
- `csv_options`: `ASIDE`, `BAD_ROWS`, `CSV_OPTIONS`, `CsvOptions`, `REJECTED`, `wrong_option`
- `dictionaries`: `has_dictionary`, `without_dictionaries`
- `digest`: `Digest`, `dictionary_digests`
- `file_io`: `read_table`, `write_stream`, `write_table`
- `file_lists`: `SCHEMAS`
- `file_outputs`: `hand_on`
- `file_table`: `check_unchanged`, `FileTable`, `open_files`, `read_source`
- `footers`: `joined_schema`, `lacking_columns`, `may_lack_columns`, `merged_schema`, `named_schema`, `null_counts`,
  `row_groups`, `source_schema`
- `formats`: `ARROW`, `format_of`, `FormatError`, `READ_OPTIONS`
- `frozen`: `frozen`, `frozen_output`
- `gathered`: `flattened`, `put_together`
- `handoffs`: `DEFAULT_HANDOFF`, `HANDOFFS`, `PERSISTENT_HANDOFFS`, `store_class`
- `ipc`: `open_file`, `strict_line`, `write_file`
- `json_values`: `is_bytes`, `json_form`, `json_values`
- `late_store`: `LateStore`
- `local_files`: `folder_hint`, `local_source`, `resolve_files`
- `output_files`: `hashed`, `in_memory`
- `plain_arrays`: `decoded`, `empty_table`, `map_entries`
- `partitions`: `folder_name`
- `python_values`: `NO_PREVIEW`, `values_of`
- `remote_versions`: `RemoteVersions`
- `store`: `TableStore`
- `stored_files`: `LateStoredFiles`, `StoredFiles`
- `stored_form`: `read_all`, `with_stored_types`
- `table_folders`: `replaced_folder`, `write_folder`
- `worker_store`: `WorkerStore`
"""
