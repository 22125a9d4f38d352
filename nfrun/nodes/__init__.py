"""The kinds of node: `python`, `sql`, `run`, `read`, `write`, `pipeline` and `use`, one module each.

`kind` defines what a kind is, and `base` what it gets for an attempt. `registry` lists the kinds.
"""
