"""Carrying a plan out: attempts, executors, the runner, and events on their way to reports."""
