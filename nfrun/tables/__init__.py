"""Arrow tables: digests, file formats, the store that hands them on, and the write queue.

Other packages use:

- `file_io`: `read_table`, `write_table`
- `formats`: `FormatError`
- `json_store`: `JsonStore`
- `local_files`: `resolve_files`
- `output_files`: `output_path`
- `store`: `TableStore`
- `worker_store`: `WorkerStore`
"""
