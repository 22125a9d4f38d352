"""Carrying a plan out: attempts, executors, the runner, and events on their way to reports.

Other packages use:

- `attempt`: `Wait`, `Work`
- `event_dispatch`: `Pace`, `Report`, `Telling`
- `executors.processes`: `start_server`, `Workers`
- `executors.threads`: `Make`, `ThreadExecutor`
- `gil_contention`: `Contention`
- `node_stats`: `read_timings`, `Timings`, `TimingsFile`
- `placement`: `in_processes`
- `runner`: `Run`
"""
