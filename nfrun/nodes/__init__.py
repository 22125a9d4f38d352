"""The kinds of node: `python`, `sql`, `run`, `read`, `write`, `pipeline` and `use`, one module each.

`base` defines what a kind is (`Kind`) and what it gets for an attempt (`NodeContext`). `registry` lists the kinds.
"""
