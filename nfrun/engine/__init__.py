"""Carrying a plan out: attempts, executors, the runner, and events on their way to reports.

Other packages use:

- `attempt`: `AttemptRunner`, `RunCoroutine`
- `event_dispatch`: `BackPressure`, `EventDispatcher`, `Reporter`
- `executors.processes`: `ProcessWorkers`, `start_server`
- `executors.threads`: `RunAttempt`, `ThreadExecutor`
- `gil_contention`: `GilContention`
- `node_stats`: `NodeStats`, `NodeStatsFile`, `read_node_stats`
- `placement`: `nodes_in_processes`
- `runner`: `Run`
"""
