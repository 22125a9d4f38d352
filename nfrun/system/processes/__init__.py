"""The processes of a run: how they are kept together, and how they end.

`supervisor` splits a run into three processes, `reaper` the host of a cluster into two, and `process_tree` ends
all that are below one. `signals` asks a command to stop, `process_exit` ends its process, and `exit_status` says how
another one ended. `temp_folder` is where a run and its processes have temporary files.
"""
