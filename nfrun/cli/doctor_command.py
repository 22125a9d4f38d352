"""Carries out `nfrun doctor`: says what on this machine makes runs slow, fail, or run what need not run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.cli.exit_codes import EXIT_FAILED, EXIT_OK, print_json
from nfrun.core.health import NOTE, PROBLEM, HealthCheck
from nfrun.core.text import format_count
from nfrun.core.values import asdict
from nfrun.session.option_fields import (
    Options,
    color_option,
    command_options,
    json_option,
    pipeline_option,
    work_option,
)

if TYPE_CHECKING:
    from nfrun.lookback.layout import Look
    from nfrun.system.std_streams import Messages


@command_options
class DoctorOptions(Options):
    """The options of `nfrun doctor`."""

    pipeline: Path | None = pipeline_option(
        help="The pipeline file whose work folder and runs are meant. Left out: the work folder that is here."
    )
    work: Path | None = work_option()
    json: bool = json_option()
    color: str = color_option()


def doctor(options: DoctorOptions, messages: Messages) -> int:
    """Print what was checked and what to do. Returns 1 if there is a problem, and 0 if there are notes at most."""
    from nfrun.session.health import check_health

    folder, work = _places(options)
    checks: list[HealthCheck] = []
    if options.json:
        checks.extend(check_health(folder, work, options.pipeline))
        is_ok = all(check.level != PROBLEM for check in checks)
        print_json({"ok": is_ok, "work": str(work), "checks": [*map(asdict, checks)]})
        return EXIT_OK if is_ok else EXIT_FAILED
    from nfrun.cli.lookback_commands import look

    shown = look(options.color)
    for check in check_health(folder, work, options.pipeline):
        checks.append(check)
        print("\n".join(_lines(check, shown)), flush=True)
    print(_last_line(checks))
    return EXIT_FAILED if any(check.level == PROBLEM for check in checks) else EXIT_OK


def _places(options: DoctorOptions) -> tuple[Path, Path]:
    """Return the folder of the pipelines and their work folder. Raises SpecError if there is no such pipeline file."""
    from nfrun.core.errors import NotRecorded
    from nfrun.core.pipeline import WORK_DIR
    from nfrun.lookback.run_reference import locate_work

    folder = options.pipeline.absolute().parent if options.pipeline else Path.cwd()
    with suppress(NotRecorded):
        work, _ = locate_work(options.pipeline, options.work)
        return folder if options.pipeline or options.work else work.path.parent, work.path
    return folder, (options.work or folder / WORK_DIR).absolute()


def _lines(check: HealthCheck, look: Look) -> Iterator[str]:
    from nfrun.core.text import on_one_line

    style = {PROBLEM: "failed", NOTE: "skipped"}.get(check.level, "ok")
    yield f"{look.paint(check.level.ljust(7), style)}  {on_one_line(f'{check.about}: {check.text}')}"
    if check.advice:
        yield f"         {on_one_line(check.advice)}"


def _last_line(checks: Sequence[HealthCheck]) -> str:
    levels = [check.level for check in checks]
    problems, notes = levels.count(PROBLEM), levels.count(NOTE)
    found = [format_count(number, what) for number, what in ((problems, "problem"), (notes, "note")) if number]
    return f"doctor: {format_count(len(checks), 'check')}, {' and '.join(found) or 'all in order'}"


DOCTOR_COMMAND = (doctor, DoctorOptions, "Check the machine and the work folder for what slows runs.")
