"""Runs a plan: starts attempts, applies their outcomes to the scheduler, and dispatches the events.

`runner` drives one run. An executor starts attempts on threads, `attempt` makes one attempt, and `executors.processes`
makes some of them in worker processes. `event_dispatch` delivers the events to the reporters. `node_stats`,
`gil_contention` and `placement` measure nodes and decide which of them run in processes.

Other packages use:

- `attempt`: `AttemptRunner`
- `event_dispatch`: `BackPressure`, `EventDispatcher`, `Reporter`
- `executors.base`: `RunAttempt`, `RunCoroutine`
- `executors.processes`: `ProcessWorkers`, `start_server`
- `executors.threads`: `ThreadExecutor`
- `gil_contention`: `GilContention`
- `node_stats`: `NodeStats`, `NodeStatsFile`, `read_node_stats`
- `placement`: `nodes_in_processes`
- `runner`: `Run`
"""
