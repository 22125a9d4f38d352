"""Entry point of the console script and of `python -m nfrun`.

Worker processes import this module too, so it imports almost nothing by itself.
"""

import sys
from typing import NoReturn


def main(*, guarded: bool = True) -> NoReturn:
    """Run the command line in `sys.argv` and exit the process with its exit code.

    If `guarded`, `run` and `bench` go under the supervisor, so that no process outlives them, however they end.
    """
    import gc
    import os

    if "_NFRUN_COMPLETE" in os.environ:  # a shell asks what may stand at the cursor: typer's function for it sets this
        gc.disable()
        from nfrun.cli.typer_app import main as typer_main

        typer_main()
    report_code = None
    at_once = False
    try:
        if guarded and sys.argv[1:2] in (["run"], ["bench"]) and not {"--help", "-h"}.intersection(sys.argv):
            from nfrun.core.text import GO_ON_HINT
            from nfrun.system.processes.supervisor import supervise

            hint = GO_ON_HINT if sys.argv[1] == "run" else ""
            report_code = supervise(hint, as_json="--json" in sys.argv)
        _main()
    except KeyboardInterrupt:  # also during imports
        from nfrun.system.std_streams import Messages

        Messages()("nfrun: interrupted")
        code = 130
    except SystemExit as end:
        code = int(end.code or 0)
        at_once = hasattr(end, "at_once")
    if report_code is not None:
        report_code(code)
    if gc.isenabled():  # `run` turns it on if nodes may run
        from nfrun.system.processes.process_exit import leave_process

        leave_process(code, at_once=at_once)
    if report_code is not None:
        from nfrun.system.processes.process_exit import leave_untouched

        leave_untouched(code)
    sys.exit(code)


def _main() -> NoReturn:
    import gc

    gc.disable()  # objects made during start-up stay alive; `run` turns the collector on if nodes may run

    from nfrun.cli.fast_args import parse_plain
    from nfrun.core.errors import UsageError
    from nfrun.system.std_streams import prepare_std_streams

    if command := parse_plain(sys.argv[1:]):
        prepare_std_streams()
        try:
            code = command()
            if not gc.isenabled():  # no node has run: skip the garbage collection at exit
                gc.freeze()
            sys.exit(code)
        except UsageError:
            pass  # nothing has been done yet; typer reports the error

    from nfrun.cli.typer_app import main as typer_main

    typer_main()


if __name__ == "__main__":
    import os

    # Python puts the working directory first, and a user's file there may shadow a module that nfrun imports. The
    # console script does not have this entry either. pathlib is not used here, as it could be shadowed too.
    sys.path = [place for i, place in enumerate(sys.path) if i or place not in ("", os.getcwd())]  # noqa: PTH109
    main()
