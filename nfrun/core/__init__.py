"""The pure part: values, the plan and the scheduler, without clock, files or threads.

Other packages use:

- `errors`: `FolderHeld`, `HandoffError`, `Problem`, `refusal`, `render_all`, `SpecError`, `Where`
- `events`: `AttemptStopped`, `Event`, `Failure`, `Frame`, `LOCKED_SECONDS`, `NodeCancelled`, `NodeFailed`,
  `NodeFinished`, `NodeLogged`, `NodeProgressed`, `NodeRetrying`, `NodeSkipped`, `NodeStarted`, `Outcome`,
  `OutputPublished`, `OutputReleased`, `Ref`, `RunFinished`, `RunStarted`, `to_json`
- `pipeline`: `has_expression`, `Input`, `KIND_KEYS`, `NEVER`, `NodeSpec`, `OPEN`, `Param`, `Pipeline`, `Retry`
- `plan`: `best_speedup`, `find_cycles`, `longest_path`, `Plan`, `plan_of`, `SCHEDULES`
- `scheduler`: `Scheduler`
- `simulation`: `makespan`
- `text`: `escape`, `near`, `shorten`
"""
