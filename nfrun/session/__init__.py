"""From options to a finished run. The command line and Python programs run pipelines with the same functions.

`options` declares the options of a run as fields, which `option_fields` makes; `option_values` makes their values.
`run_setup` reads and plans the pipeline, takes its lock and makes the folder of the run; `selection` finds the nodes
that selectors name. `run` runs it: `opened_cache` opens its cache, `cluster_run` its cluster, which `cluster_options`
finds, and `prepared_run` puts them together. `planning` finds out what would run, and `program` is what only a program
can give. Nothing here prints or handles signals. What belongs to the process, such as the collector, is changed for a
command only (`Caller.in_program`).
"""
