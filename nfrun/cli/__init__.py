"""The command line: parses the arguments, carries out the commands and sets the exit code.

`fast_args` parses plain command lines, and `typer_app` all others; both call the functions in `commands`. `run`,
`run_setup` and `run_reports` carry out `nfrun run`; `bench` carries out `nfrun bench`. `exit_codes` reports errors.

Other packages use:

- `exit_codes`: `UsageError`
- `fast_args`: `parse_plain`
- `typer_app`: `main`
"""
