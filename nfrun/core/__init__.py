"""The pure core: pipeline, plan, scheduler and events, without clock, files or threads.

A `Pipeline` is what a pipeline file says, and `plan_of` makes it a `Plan`. The `Scheduler` takes times and outcomes and
returns events. The simulation runs the same scheduler in virtual time.

Other packages use:

- `budgets`: `Budget`, `Held`, `Units`
- `call_events`: `CallsEnded`, `CallStarted`, `MapStarted`
- `calls`: `ORDER_SECONDS`
- `contracts`: `BUILT_IN_CHECKS`, `Check`, `CheckResult`, `CHECKS`, `Contract`, `default_name`, `EVIDENCE`,
  `failed_checks`, `OF_TABLES`, `row_text`, `SCHEMA`
- `errors`: `Cause`, `cause_of`, `ClusterError`, `Diagnostic`, `Error`, `error_text`, `HandoffError`, `lacks_memory`,
  `NotRecorded`, `NotStored`, `one_line`, `render`, `render_all`, `SelectionError`, `SourceSpan`, `SpecError`,
  `UsageError`, `WorkDirLocked`
- `event_json`: `to_json`
- `events`: `AllNodesEnded`, `AttemptStopped`, `CallEnded`, `ChecksStarted`, `Event`, `Failure`, `Frame`,
  `GIL_WAIT_SECONDS`, `nfrun_failure`, `NodeCancelled`, `NodeFailed`, `NodeFinished`, `NodeLogged`, `NodeProgressed`,
  `NodeRetrying`, `NodeSkipped`, `NodeStarted`, `NodeWaiting`, `NOT_SELECTED`, `Outcome`, `OutputPublished`,
  `OutputRef`, `OutputReleased`, `RunFinished`, `RunStarted`, `STATUSES`
- `file_source`: `DIGEST_OF_FILES`, `FileSource`, `SourceFile`
- `health`: `HealthCheck`, `NOTE`, `OK`, `PROBLEM`
- `lanes`: `assign_lanes`
- `map_counts`: `MapCounts`, `OpenedMap`, `PiecePath`
- `map_scheduler`: `scheduler_of`
- `map_spec`: `DEFAULT_BATCH`, `ERRORS`, `FAIL`, `KeptRows`, `MapForm`, `MapSpec`
- `observation`: `merged`, `Observation`, `SharedObservation`
- `output_types`: `ending_of`, `FILE`, `file_name`, `FOLDER`, `form_of`, `TABLE`
- `pipeline`: `ancestors`, `Axis`, `column_type`, `EXPRESSION_START`, `Gather`, `has_expression`, `Input`,
  `LAST_SECTIONS`, `NO_RETRY`, `NodeSpec`, `NOTHING`, `OutputId`, `Param`, `Pipeline`, `Retry`, `UTC`,
  `WORK_DIR`, `WORK_IGNORED`, `WORK_PARTS`
- `plan`: `best_speedup`, `find_cycles`, `last_plan`, `least_times`, `longest_path`, `make_stages`, `Node`, `Plan`,
  `plan_of`, `resource_of`, `SCHEDULES`, `selected_plan`, `slots_of`, `with_executor_slots`, `with_lookups`
- `retries`: `FINAL`
- `scheduler`: `Scheduler`
- `selection`: `NodeGraph`, `parse_selector`, `select`, `STATUSES`
- `simulation`: `makespan`
- `static_half`: `StaticHalf`
- `text`: `cell_width`, `closest_match`, `ellipsize`, `escape_controls`, `file_stem`, `fit_cells`, `format_count`,
  `format_seconds`, `format_size`, `GO_ON_HINT`, `on_one_line`, `shortened`
- `values`: `asdict`, `field`, `Field`, `fields`, `frozen`, `is_value`, `KW_ONLY`, `MISSING`, `mutable`, `replace`,
  `values_of`
- `what_if`: `PastAttempt`, `PastNode`, `PastRun`
"""
