"""The pure core: pipeline, plan, scheduler and events, without clock, files or threads.

A `Pipeline` is what a pipeline file says, and `plan_of` makes it a `Plan`. The `Scheduler` takes times and outcomes and
returns events. The simulation runs the same scheduler in virtual time.
"""
