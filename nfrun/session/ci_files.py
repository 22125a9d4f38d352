"""Builds the reporter that writes a file of test cases for CI systems. Few runs have one."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from json import dumps
from pathlib import Path
from shlex import join
from xml.etree.ElementTree import Element, ElementTree

from nfrun import __version__
from nfrun.core.errors import Diagnostic
from nfrun.engine.event_dispatch import Reporter
from nfrun.history.work_dir import LOGS
from nfrun.lookback.log_files import last_lines, log_line
from nfrun.reports.ci.junit import JUnitFile, RunFacts, error_xml, problems_xml
from nfrun.reports.run_record import RunRecord
from nfrun.session.report_files import write_report
from nfrun.session.run_setup import RunSetup
from nfrun.system.logs.node_logs import LOG, STREAMS, log_path

_MOST_LINES = 100  # of a stream of a node that failed


def junit_file(setup: RunSetup, record: RunRecord, path: Path) -> Reporter:
    """Return the reporter of the option `--junit`."""
    started, pipeline, logs = setup.started, setup.pipeline, setup.folder / LOGS
    at = datetime.fromtimestamp(started.at or 0, UTC).isoformat(timespec="seconds")
    params = {f"param.{name}": v if isinstance(v, str) else dumps(v) for name, v in (started.params or {}).items()}

    def log_tail(node: str, attempt: int) -> Sequence[str]:
        found = {stream: log_path(logs, node, attempt, stream) for stream in (*STREAMS, LOG)}
        lines = []
        for stream, file in found.items():
            with suppress(OSError):
                lines += [log_line(stream, line) for line in last_lines(file, _MOST_LINES)]
        return lines

    of_run = {
        "run": started.run,
        "command": join(started.command),
        "profile": started.profile,
        "nfrun": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
    }
    facts = RunFacts(at, started.host, {**{name: text for name, text in of_run.items() if text}, **params})
    return JUnitFile(record, pipeline, facts, partial(_write_xml, path), log_tail, f"of test cases ({path})")


def write_problems(path: Path, pipeline: Path, problems: Iterable[Diagnostic]) -> None:
    """Write the file of `--junit` for a pipeline file that cannot run, and whose problems it has. Raises OSError."""
    _write_xml(path, problems_xml(str(pipeline), problems))


def write_error(path: Path, pipeline: Path, kind: str, message: str) -> None:
    """Write the file of `--junit` for a run that ended before its first node. Raises OSError."""
    _write_xml(path, error_xml(str(pipeline), kind, message))


def _write_xml(path: Path, tree: ElementTree[Element]) -> None:
    write_report(path, lambda file: tree.write(file, encoding="UTF-8", xml_declaration=True))
