"""Executors: run attempts on threads, and in worker processes where Python code needs a GIL of its own."""
