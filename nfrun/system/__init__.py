"""The operating system: files, processes, pipes, signals, memory and units.

`supervisor` and `process_tree` keep a run's processes together. `std_streams` owns stdout and stderr. `signals` and
`process_exit` end the process of a command, and `exit_status` says how another one ended. `threads` starts threads, and
`working_directory` gives one a directory of its own.
`atomic_files`, `checksums`, `remembered_checksums`, `file_search` and `os_errors` are about files.

Other packages use:

- `atomic_files`: `atomic_write`, `is_same_file`, `make_folders`, `name_errors`, `open_regular_file`, `PARTIAL`,
  `read_regular_file`, `remove_partials`, `sync`
- `atomic_folders`: `copy_file`, `copy_folder`
- `checksums`: `bytes_checksum`, `file_checksum`, `FileChecksums`, `FileLook`, `HashedFile`, `line_checksum`, `MISSING`,
  `text_checksum`
- `exit_status`: `describe_exit`
- `kept_files`: `Content`, `content_of`, `keep`, `layout_of`, `NotKeepable`, `remove`, `size_of`
- `native_threads`: `arrow_threads`, `default_thread_variables`, `given_thread_variables`, `thread_variables`
- `file_search`: `find_files`, `inner_folder`, `is_foreign`, `name_below`, `PYTHON_FOLDERS`
- `os_errors`: `is_out_of_resources`, `os_error_in`, `reason`
- `pipes`: `ByteFilter`, `Feed`, `pumping`, `read_chunk`, `read_left`
- `process_exit`: `leave_process`, `ImmediateExit`
- `process_tree`: `wait_group_exit`
- `remembered_checksums`: `RememberedChecksums`
- `runtime`: `ALLOCATOR`, `available_memory`, `children_time`, `collect_rarely`, `cores`, `gc_paused`, `idle_seconds`,
  `peak_rss`, `SYSTEM_ALLOCATOR`, `system_allocator`
- `signals`: `cancel_on_signals`, `SIGNALS`
- `std_streams`: `discard_stdout`, `Messages`, `prepare_std_streams`, `redirect_std_streams`, `separate_streams`
- `supervisor`: `supervise`
- `temp_folder`: `use_temp_folder`
- `threads`: `ABANDONED`, `start_thread`, `start_timer`
- `working_directory`: `thread_directory`
- `units`: `LONGEST`, `parse_duration`, `parse_size`, `to_seconds`
"""
