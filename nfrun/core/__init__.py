"""The pure part: values, the plan and the scheduler, without clock, files or threads.

Other packages use:

- `errors`: `Diagnostic`, `HandoffError`, `io_failure_type`, `render_all`, `SourceSpan`, `SpecError`,
  `WorkDirLocked`
- `events`: `AttemptStopped`, `Event`, `Failure`, `Frame`, `GIL_WAIT_SECONDS`, `NodeCancelled`, `NodeFailed`,
  `NodeFinished`, `NodeLogged`, `NodeProgressed`, `NodeRetrying`, `NodeSkipped`, `NodeStarted`, `Outcome`,
  `OutputPublished`, `OutputRef`, `OutputReleased`, `RunFinished`, `RunStarted`, `to_json`
- `pipeline`: `EXPRESSION_START`, `has_expression`, `Input`, `KIND_KEYS`, `NO_RETRY`, `NodeSpec`, `Param`,
  `Pipeline`, `Retry`
- `plan`: `best_speedup`, `find_cycles`, `longest_path`, `Plan`, `plan_of`, `SCHEDULES`
- `scheduler`: `Scheduler`
- `simulation`: `makespan`
- `text`: `closest_match`, `ellipsize`, `escape_controls`
"""
