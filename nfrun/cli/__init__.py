"""The command line: commands and options, the wiring of a run, exit codes.

Other packages use:

- `exit_codes`: `Misuse`
- `fast_args`: `understood`
- `typer_app`: `main`
"""
