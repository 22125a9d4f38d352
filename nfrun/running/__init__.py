"""From options to a finished run. The command line and Python programs run pipelines with the same functions.

`options` declares the options of a run as fields, which `option_fields` makes; `option_values` makes their values.
`run_setup` reads and plans the pipeline, takes its lock and makes the folder of the run; `selection` finds the nodes
that selectors name. `run` runs it: `opened_cache` opens its cache, `cluster_run` its cluster, which `cluster_options`
finds, and `prepared_run` puts them together. `planning` finds out what would run, and `program` is what only a program
can give. Nothing here prints or handles signals. What belongs to the process, such as the collector, is changed for a
command only (`Caller.in_program`).

Other packages use:

- `ci_files`: `write_error`, `write_problems`
- `cluster_run`: `validate_on_cluster`
- `health`: `check_health`
- `option_fields`: `Options`, `cache_size_option`, `color_option`, `command_options`, `declare`, `flag`, `json_option`,
  `params_option`, `pipeline_option`, `plain_words`, `refuse_idle`, `slots_option`, `with_file_first`, `work_option`
- `option_values`: `cache_budget`, `parse_number`, `parse_path`, `parse_slots`, `tells_github`
- `options`: `PlanOptions`, `RunOptions`, `ValidateOptions`
- `planning`: `plan_pipeline`, `Planned`
- `prepared_run`: `Caller`, `RunResult`
- `program`: `Program`
- `report_files`: `check_report_file`, `check_report_files`, `write_report`
- `run`: `run_in_program`, `run_prepared`
- `run_setup`: `known_checks`, `RunSetup`, `set_up_run`
"""
