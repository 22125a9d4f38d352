"""The operating system: files, processes, pipes, signals, memory and units.

The package `processes` keeps a run's processes together and ends them, and `health` checks the machine for
`nfrun doctor`. `std_streams` owns stdout and stderr. `threads`
starts threads, and `working_directory` gives one a directory of its own. `atomic_files`, `checked_json`,
`checksums`, `remembered_checksums`, `file_search` and `os_errors` are about files. `kept_files` makes files and folders
read-only and moves them, and `atomic_folders` copies them and puts folders in the place of others.
"""
