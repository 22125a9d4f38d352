"""The operating system: files, processes, pipes, signals, memory and units.

The package `processes` keeps a run's processes together and ends them, and `health` checks the machine for
`nfrun doctor`. `std_streams` owns stdout and stderr. `threads`
starts threads, and `working_directory` gives one a directory of its own. `atomic_files`, `checked_json`,
`checksums`, `remembered_checksums`, `file_search` and `os_errors` are about files. `kept_files` makes files and folders
read-only and moves them, and `atomic_folders` copies them and puts folders in the place of others.

Other packages use:

- `atomic_files`: `atomic_write`, `is_same_file`, `make_folders`, `make_private`, `name_errors`, `open_regular_file`,
  `PARTIAL`, `read_regular_file`, `remove_partials`, `sync`
- `atomic_folders`: `copy_file`, `copy_folder`, `put_in_place`, `staged_folder`, `sync_folder`
- `checked_json`: `read_checked`, `write_checked`
- `checksums`: `bytes_checksum`, `file_checksum`, `FileChecksums`, `FileLook`, `HashedFile`, `LAYOUT`,
  `layout_checksum`, `line_checksum`, `MISSING`, `shown_name`, `stream_checksum`, `text_checksum`
- `health.disks`: `check_disk`, `check_temporary`
- `health.machine`: `check_bytecode`, `check_cores`, `check_imports`, `check_limits`, `check_memory`,
  `check_processes`, `check_threads`
- `health.mounts`: `mount_of`
- `kept_threads`: `KeptThreads`
- `kept_files`: `Content`, `content_of`, `is_inside`, `keep`, `layout_of`, `make_read_only`, `NotKeepable`, `remove`,
  `size_of`
- `native_threads`: `arrow_threads`, `default_thread_variables`, `given_thread_variables`, `thread_variables`
- `file_search`: `find_files`, `inner_folder`, `is_foreign`, `name_below`, `PYTHON_FOLDERS`
- `os_errors`: `is_out_of_resources`, `os_error_in`, `reason`
- `pipes`: `ByteFilter`, `Feed`, `pump`, `pumping`, `read_chunk`, `read_left`
- `processes.exit_status`: `describe_exit`
- `processes.process_exit`: `leave_process`, `leave_untouched`, `ImmediateExit`
- `processes.process_tree`: `wait_group_exit`
- `processes.reaper`: `split`
- `processes.signals`: `cancel_on_signals`, `INTERRUPT`, `SIGNALS`
- `processes.supervisor`: `supervise`
- `processes.temp_folder`: `use_temp_folder`
- `remembered_checksums`: `RememberedChecksums`
- `runtime`: `available_memory`, `children_time`, `collect_rarely`, `cores`, `gc_paused`, `idle_seconds`, `is_busy`,
  `peak_rss`, `PeakMemory`, `process_began`, `used_memory`
- `std_streams`: `discard_stdout`, `Messages`, `named_descriptor`, `open_descriptor`, `path_for_stdout`,
  `prepare_std_streams`, `redirect_std_streams`, `separate_streams`, `stdout_for_text`
- `threads`: `ABANDONED`, `start_thread`, `start_timer`
- `time_zone`: `local_zone`, `zone_variable`
- `working_directory`: `thread_directory`
- `units`: `LONGEST`, `parse_duration`, `parse_size`, `to_seconds`
"""
