"""The kinds of node: one module each, and the registry that lists them."""
