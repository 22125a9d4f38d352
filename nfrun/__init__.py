"""nfrun: run data and AI pipelines written in YAML, on your own machine."""

__version__ = "0.1.0"
