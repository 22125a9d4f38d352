"""The command line: parses the arguments, carries out the commands and sets the exit code.

`options` declares the options, and `option_values` makes their values. `fast_args` parses plain command lines, and
`typer_app` all others; both call the functions in `commands`. `run` runs a pipeline as a function, after `run_setup`;
`run_command` makes the command of it, with `run_reports`. `bench` carries out `nfrun bench`. `lookback_commands`
carries out the commands that look back, with the options in `lookback_options`. `exit_codes` reports errors.

Other packages use:

- `exit_codes`: `UsageError`
- `fast_args`: `parse_plain`
- `typer_app`: `main`
"""
