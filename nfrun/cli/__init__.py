"""The command line: commands and options, the wiring of a run, exit codes.

Other packages use:

- `exit_codes`: `UsageError`
- `fast_args`: `parse_plain`
- `typer_app`: `main`
"""
