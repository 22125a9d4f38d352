"""The command line: commands and options, the wiring of a run, exit codes."""
