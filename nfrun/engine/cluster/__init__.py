"""Attempts on the workers of a cluster: `wire` has what is sent, `host` makes attempts, `hosted` starts hosts."""
