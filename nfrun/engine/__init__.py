"""Runs a plan: starts attempts, applies their outcomes to the scheduler, and dispatches the events.

`pipeline_run` wires one run, and `runner` drives it. An executor starts attempts on threads, `attempt` makes one
attempt, and `executors.processes` makes some of them in worker processes. `event_dispatch` delivers the events to the
reporters. `node_stats`, `gil_contention` and `placement` measure nodes and decide which of them run in processes.

Other packages use:

- `event_dispatch`: `Reporter`
- `executors.base`: `RunAttempt`, `RunCoroutine`
- `node_stats`: `NodeStats`, `NodeStatsFile`, `read_node_stats`
- `pipeline_run`: `PipelineRun`
- `placement`: `nodes_in_processes`
- `runner`: `Run`
"""
