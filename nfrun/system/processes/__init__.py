"""The processes of a run: how they are kept together, and how they end."""
