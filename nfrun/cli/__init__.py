"""The command line: parses the arguments, carries out the commands and sets the exit code.

`fast_args` parses plain command lines, and `typer_app` all others; both call the functions in `commands`. The options
of runs are declared in `nfrun.session`, those of other commands here. `run_command` runs a pipeline with what belongs
to its process, and makes its reporters. `bench` carries out `nfrun bench`, and `lookback_commands` the
commands that look back. `completion` finds what shells complete. `exit_codes` reports errors.
"""
