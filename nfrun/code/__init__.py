"""The user's Python code: where functions are defined, what they call, and importing them from source."""
