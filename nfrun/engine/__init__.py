"""Runs a plan: starts attempts, applies their outcomes to the scheduler, and dispatches the events.

`pipeline_run` wires one run, and `runner` drives it: it starts each attempt on an executor, where `attempt` makes it.
`event_dispatch` delivers the events to the reporters. `node_stats` and `gil_contention` measure nodes, and `placement`
decides on which executor they run.
"""
