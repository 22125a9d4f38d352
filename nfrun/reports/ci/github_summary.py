"""Writes a run as Markdown, for the summary of a GitHub step: what failed, the checks, and what took how long."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from nfrun.core.contracts import CheckResult
from nfrun.core.text import ellipsize, escape_controls
from nfrun.reports.format_units import format_count, format_seconds, format_size
from nfrun.reports.last_line import last_line
from nfrun.reports.run_record import NodeRecord, RunRecord, alike_failures
from nfrun.reports.summary import failure_text

_MOST_FAILED, _MOST_TEXTS, _MOST_CHECKS, _MOST_NODES = 100, 20, 50, 100  # rows
_MOST_CHARACTERS = 300  # of a cell of a table
_MOST_TEXT = 8_000  # characters of one failure
_NUMBERS = ("took", "waited", "rows", "bytes")  # columns of numbers
_SIGNS = {"ok": "✅", "failed": "❌", "cancelled": "⚪"}
_ACTIVE = re.compile(r"[^a-z0-9 \-,;()/?.’…]|(?<=www)\.", re.IGNORECASE)  # what may mean something in Markdown or HTML
_CUT = "\n\nThe rest is left out: GitHub takes 1 MiB of a step at most.\n"


def summary_of(record: RunRecord, run: str, command: str, links: Mapping[str, str], room: int) -> str:
    """Return the Markdown of a run that has ended, in at most `room` bytes of UTF-8, "" if there is no room.

    `run` is its id, and `command` goes on after a failure, "" if there is none. `links` has the address of the place of
    nodes, for those that have one.
    """
    text, left = "", room - len(_CUT.encode())
    for section in _Summary(record, run, command, links).sections():
        left -= len(section.encode())
        if left < 0:
            return f"{text}{_CUT}" if text else ""
        text += section
    return text


class _Summary:
    def __init__(self, record: RunRecord, run: str, command: str, links: Mapping[str, str]) -> None:
        self._record, self._run, self._command, self._links = record, run, command, links

    def sections(self) -> Iterator[str]:
        """Yield parts that are each complete, the most important first."""
        record = self._record
        status = record.end.status if record.end else "failed"
        line = last_line(record).removeprefix(f"{escape_controls(record.pipeline.name)}: {status}, ")
        yield f"\n## {_SIGNS.get(status, '')} {plain(record.pipeline.name)}: {status}\n\n"
        yield f"{plain(line)}. Run {code(self._run)}.\n"
        if record.end is not None and record.end.error:
            yield f"\n{fenced(escape_controls(record.end.error))}\n"
        failed = sorted(record.named("failed"), key=lambda name: record.nodes[name].tolerated)
        groups = alike_failures(failed, record)
        if groups:
            yield from self._failed(groups)
        if status != "ok" and self._command:
            yield f"\nTo go on from here:\n\n{fenced(escape_controls(self._command), 'sh')}\n"
        yield from self._checks()
        yield from self._nodes()
        yield from self._texts(groups)

    def _failed(self, groups: Sequence[Sequence[str]]) -> Iterator[str]:
        def rows() -> Iterator[Sequence[str]]:
            for name, *others in groups:
                node = self._record.nodes[name]
                also = f" and {format_count(len(others), 'more cell')}" if others else ""
                tolerated = " (tolerated)" if node.tolerated else ""
                error = node.failure.error if node.failure else ""
                yield f"{code(name)}{also}", f"{plain(error)}{tolerated}", self._place(name)

        yield from table("Failed", ("node", "error", "at"), rows(), _MOST_FAILED, len(groups))

    def _place(self, name: str) -> str:
        place = code(self._record.place(name))
        return f'<a href="{self._links[name]}">{place}</a>' if name in self._links else place

    def _checks(self) -> Iterator[str]:
        found: list[tuple[str, CheckResult]] = [
            (name, check) for name in self._record.names for check in self._record.nodes[name].checks
        ]
        broken = [(name, check) for name, check in found if not check.ok]
        if found:
            held = len(found) - len(broken)
            yield f"\n{held:,} of {format_count(len(found), 'check')} hold.\n" if broken else "\nAll checks hold.\n"
        rows = ((code(name), code(check.name), check.severity, plain(check.text)) for name, check in broken)
        if broken:
            yield from table(
                "Checks that do not hold", ("node", "check", "severity", "found"), rows, _MOST_CHECKS, len(broken)
            )

    def _nodes(self) -> Iterator[str]:
        nodes = self._record.nodes
        ran = sorted((name for name in self._record.names if nodes[name].ran), key=lambda name: -nodes[name].duration)
        if " → " in (path := self._record.path_text(" → ", code)):
            yield f"\nCritical path {format_seconds(self._record.critical_path()[1])}: {path}\n"
        if ran:
            rows = (_node_row(name, nodes[name], self._record.pipeline.spec_of(name).kind_shown) for name in ran)
            title = f"{format_count(len(ran), 'node')} ran, the longest first"
            headings = ("node", "kind", "status", "took", "waited", "rows", "bytes")
            yield from table(title, headings, rows, _MOST_NODES, len(ran), folded=True)

    def _texts(self, groups: Sequence[Sequence[str]]) -> Iterator[str]:
        """Yield the failures with their tracebacks, folded."""
        for name, *others in islice(groups, _MOST_TEXTS):
            node = self._record.nodes[name]
            text = failure_text(name, node, self._record.place(name), (), others).strip("\n")
            text = text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"
            yield f"\n<details><summary>{code(name)}</summary>\n\n{fenced(text)}\n\n</details>\n"


def _node_row(name: str, node: NodeRecord, kind: str) -> Sequence[str]:
    attempts = f", {node.attempts} attempts" if node.attempts > 1 else ""
    tolerated = " (tolerated)" if node.tolerated else ""
    status = f"{_SIGNS.get(node.status, '')} {node.status}{tolerated}{attempts}".strip()
    size = format_size(node.bytes) if node.bytes else ""
    return (
        code(name),
        plain(kind),
        status,
        format_seconds(node.duration),
        format_seconds(node.queue_wait),
        f"{node.rows:,}",
        size,
    )


def table(
    title: str, headings: Sequence[str], rows: Iterator[Sequence[str]], most: int, count: int, *, folded: bool = False
) -> Iterator[str]:
    """Yield a table under a title: at most so many of the `count` rows. Cells are Markdown. It is cut between rows."""
    head = f"\n<details><summary>{title}</summary>\n\n" if folded else f"\n### {title}\n\n"
    shown = ["|".join(["", *map(_cell, row), ""]) for row in islice(rows, most)]
    more = f"\n… and {count - most:,} more\n" if count > most else ""
    lines = [
        "|".join(["", *headings, ""]),
        "|".join(["", *(["---:" if heading in _NUMBERS else "---" for heading in headings]), ""]),
        *shown,
    ]
    yield head + "\n".join(lines) + "\n" + more + ("\n</details>\n" if folded else "")


def _cell(text: str) -> str:
    return text.replace("|", "&#124;").replace("\n", " ")


def plain(text: str) -> str:
    """Return text as Markdown that shows it as it is, on one line and not too long."""
    return _ACTIVE.sub(lambda found: f"&#{ord(found[0])};", ellipsize(text, _MOST_CHARACTERS))


def code(text: str) -> str:
    """Return text as Markdown that shows it as code. Names such as `fit@lr` would otherwise mention a user."""
    return f"<code>{plain(text)}</code>"


def fenced(text: str, language: str = "") -> str:
    """Return text as a block of code, whatever backticks are in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"
