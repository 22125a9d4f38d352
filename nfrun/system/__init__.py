"""The operating system: files, processes, pipes, signals and memory.

Other packages use:

- `atomic_files`: `is_there`, `make_folders`, `naming`, `read`, `replacing`, `sync`
- `checksums`: `bytes_checksum`, `file_checksum`, `line_checksum`, `text_checksum`
- `os_errors`: `is_short_of`, `reason`, `refused_in`
- `pipes`: `Feed`, `read_chunk`, `read_left`, `read_while`
- `process_exit`: `leave_process`
- `process_tree`: `await_group`
- `runtime`: `children_time`, `collect_rarely`, `cores`, `no_garbage`, `peak_rss`, `quarter_of_memory`,
  `set_allocator`
- `signals`: `signals`, `SIGNALS`
- `std_streams`: `ready_streams`, `unfailing`
- `supervisor`: `guard`
- `units`: `LONGEST`, `parse_seconds`, `parse_size`, `seconds`
"""
