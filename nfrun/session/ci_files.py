"""Builds the reporter that writes a file of test cases for CI systems. Few runs have one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from json import dumps
from pathlib import Path
from shlex import join
from xml.etree.ElementTree import Element, ElementTree

from nfrun import __version__
from nfrun.engine.event_dispatch import Reporter
from nfrun.history.journal import RunHeader
from nfrun.lookback.log_files import last_lines, log_line
from nfrun.reports.ci.junit import JUnitFile
from nfrun.reports.run_record import RunRecord
from nfrun.session.report_files import write_report
from nfrun.system.logs.node_logs import LOG, STREAMS, log_path

_MOST_LINES = 100  # of a stream of a node that failed


def junit_file(path: Path, record: RunRecord, started: RunHeader, logs: Path) -> Reporter:
    """Return the reporter of the option `--junit` for a run with its first line of the journal and its logs."""
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
    of_run = {name: text for name, text in of_run.items() if text}

    def write(tree: ElementTree[Element]) -> None:
        write_report(path, lambda file: tree.write(file, encoding="UTF-8", xml_declaration=True))

    name = f"of test cases ({path})"
    return JUnitFile(record, at, started.host, {**of_run, **params}, write, log_tail, name)
