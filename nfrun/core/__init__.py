"""The pure part: values, the plan and the scheduler, without clock, files or threads."""
