"""The way in, of the console script and of `python -m nfrun`. Importing it costs nothing: worker processes do."""

import sys
from typing import NoReturn

_RESUME = "'nfrun run --resume' goes on from what had finished"


def main(*, guarded: bool = True) -> NoReturn:
    """The console script. A run that is `guarded` leaves no process behind, whatever ends it."""
    import gc

    try:
        if guarded and sys.argv[1:2] in (["run"], ["bench"]) and not {"--help", "-h"}.intersection(sys.argv):
            from nfrun.system.supervisor import supervise

            supervise(_RESUME if sys.argv[1] == "run" else "")
        _main()
    except KeyboardInterrupt:  # while modules are imported, too
        print("nfrun: interrupted", file=sys.stderr)
        code = 130
    except SystemExit as end:
        code = int(end.code or 0)
    if gc.isenabled():  # nodes may have run
        from nfrun.system.process_exit import leave_process

        leave_process(code)
    sys.exit(code)


def _main() -> NoReturn:
    import gc

    gc.disable()  # what is made while starting is there to stay; `launch` turns the collector on when nodes start

    from nfrun.cli.exit_codes import UsageError
    from nfrun.cli.fast_args import parse_plain
    from nfrun.system.std_streams import prepare_std_streams

    if command := parse_plain(sys.argv[1:]):
        prepare_std_streams()
        try:
            code = command()
            if not gc.isenabled():  # nothing of the user's ran: there is no garbage that anybody waits for at exit
                gc.freeze()
            sys.exit(code)
        except UsageError:
            pass  # it has done nothing yet, and typer tells what is wrong

    from nfrun.cli.typer_app import main as typer_main

    typer_main()


if __name__ == "__main__":
    import os

    # Python puts the working directory first, where a file of the user's may have the name of a module that we need.
    # The console script has no such place either. Not by way of pathlib, which is itself such a module.
    sys.path = [place for i, place in enumerate(sys.path) if i or place not in ("", os.getcwd())]  # noqa: PTH109
    main()
