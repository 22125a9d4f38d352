"""Attempts on the workers of a cluster: `wire` has the messages, `host` makes attempts, `hosted` starts hosts."""
