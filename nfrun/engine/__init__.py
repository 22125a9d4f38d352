"""Runs a plan: starts attempts, applies their outcomes to the scheduler, and dispatches the events.

`pipeline_run` wires one run, and `runner` drives it: it starts each attempt on an executor, where `attempt` makes it.
`event_dispatch` delivers the events to the reporters. `node_stats` and `gil_contention` measure nodes, and `placement`
decides on which executor they run.

Other packages use:

- `attempt`: `RunAttempt`
- `attempt_context`: `Importer`, `RunCoroutine`
- `cluster.addresses`: `is_local`, `is_private`
- `cluster.base`: `Cluster`, `Engine`
- `cluster.code_archive`: `CodeFiles`, `find_code`, `find_files`
- `cluster.dask_engine`: `DaskEngine`
- `cluster.folder_copies`: `left_behind`
- `cluster.preflight`: `Needs`, `preflight`
- `cluster.slots`: `most_slots`
- `cluster.wire`: `HostConfig`, `to_text`
- `event_dispatch`: `Reporter`
- `executors.base`: `Placement`
- `executors.health`: `check_workers`
- `executors.registry`: `CLUSTERS`, `EXECUTORS`
- `node_stats`: `NodeStats`, `NodeStatsFile`, `read_node_stats`
- `pipeline_run`: `PipelineRun`
- `placement`: `place_nodes`
- `runner`: `Run`
"""
