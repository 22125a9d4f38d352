"""Mapped nodes in the engine: opening the input, making the calls, and putting the results together."""
