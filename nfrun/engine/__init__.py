"""Runs a plan: starts attempts, applies their outcomes to the scheduler, and dispatches the events."""
