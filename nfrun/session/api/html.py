"""Shows plans, results and failures as HTML in notebooks: small tables, escaped, in the colours of the notebook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import islice
from typing import TYPE_CHECKING

from nfrun.core.text import ellipsize, escape_controls
from nfrun.reports.format_units import format_count, format_seconds, format_size
from nfrun.reports.last_line import counts_of_nodes

if TYPE_CHECKING:
    from nfrun.reports.run_record import RunRecord
    from nfrun.session.planning import Planned

_MOST_ROWS = 30
_MOST_RUNNING = 8
_MOST_TEXT = 300  # characters of a cell of a table
# Colours that can be read on light and on dark; all else has those of the notebook.
_COLORS = {
    **{"ok": "#2e9e5b", "reused": "#3b82d0", "failed": "#d9534f", "cancelled": "#c07a00"},
    **{"runs": "#2e9e5b", "running": "#c07a00", "retrying": "#c07a00", "warning": "#c07a00"},
}
_CELL = "text-align:left;padding:1px 10px 1px 0;vertical-align:top"
_BAR = "width:24em;max-width:100%;height:.5em;background:rgba(128,128,128,.25);border-radius:.25em"


def plan_html(planned: Planned) -> str:
    """Return the nodes of a plan by stages: whether they would run, and why."""
    rows = []
    for stage, names in enumerate(planned.plan.stages):
        for name in names:
            decision = (planned.decisions or {}).get(name)
            what = "runs" if decision is None or not decision.hit else "reused"
            why = decision.reason if decision is not None else ""
            kind = planned.pipeline.nodes[name].kind_shown
            rows.append([_text(str(stage + 1)), _text(name), _text(kind), _status(what), _text(why or "")])
    title = f"{planned.pipeline.name}: {format_count(len(planned.plan.nodes), 'node')}"
    return _page(_text(title), _table(("stage", "node", "kind", "", "why"), rows))


def result_html(
    run: tuple[str, int, str, float],
    error: str,
    failures: Sequence[str],
    outputs: Mapping[str, Sequence[Sequence[str]]],
    more: int,
    record: RunRecord,
    warnings: Sequence[str] = (),
) -> str:
    """Return the end of a run: counts, warnings, nodes, failures, each as HTML, and rows of outputs, the heads first.

    `run` is the name of the pipeline, the number and the status of the run, and its seconds. `more` outputs are not
    shown.
    """
    name, number, status, took = run
    parts = [f"<div>{_status('warning')} {escape(escape_controls(text))}</div>" for text in warnings]
    parts += [_table(("node", "", "took", "attempts", "rows", "size"), [*_node_rows(record)])]
    if error:
        parts.append(_pre(error))
    parts += failures[:_MOST_ROWS]
    for shown, (heads, *rows) in outputs.items():
        cells = [[_text(cell) for cell in row] for row in rows]
        body = _table(heads, cells, with_empty=True) if rows else f"<div>{_text(', '.join(heads))}</div>"
        parts.append(f'<div style="margin-top:6px"><b>{_text(shown)}</b></div>{body}')
    if more:
        parts.append(f"<div>… and {format_count(more, 'more output')}</div>")
    head, tail = f"{name}, run {number}: ", ", ".join(["", *_counts(record), format_seconds(took)])
    return _page(_text(head) + _status(status) + _text(tail), "".join(parts))


def progress_html(record: RunRecord) -> str:
    """Return how many nodes of a run have ended, and which are running."""
    done = sum(counts.ended for counts in record.stage_counts)
    all_nodes = sum(counts.nodes for counts in record.stage_counts)
    share = 100 * done / all_nodes if all_nodes else 100
    fill = f'<div style="width:{share:.1f}%;height:100%;background:#3b82d0;border-radius:.25em"></div>'
    line = ", ".join([f"{done} of {format_count(all_nodes, 'node')}", *_counts(record), format_seconds(record.at)])
    running = [*islice(record.running, _MOST_RUNNING)]
    more = f" and {len(record.running) - len(running)} more" if len(record.running) > len(running) else ""
    now = f"running: {', '.join(running)}{more}" if running else ""
    return _page(_text(f"{record.pipeline.name}: {line}"), f'<div style="{_BAR}">{fill}</div><div>{_text(now)}</div>')


def line_html(line: str) -> str:
    """Return one line about a run that has ended."""
    return _page(_text(line), "")


def failure_html(node: str, error: str, traceback: str) -> str:
    """Return why a node failed: the error, and the text with its place and the frames of the user's code."""
    return f"<div>{_status('failed')} <b>{_text(node)}</b> {_text(error)}</div>{_pre(traceback)}"


def _node_rows(record: RunRecord) -> Iterator[list[str]]:
    for name in record.names:
        node = record.nodes[name]
        took = format_seconds(node.duration) if node.ran else ""
        attempts = str(node.attempts) if node.attempts > 1 else ""
        rows, size = (f"{node.rows:,}", format_size(node.bytes)) if node.status in ("ok", "reused") else ("", "")
        why = f" <small>because of {_text(node.because)}</small>" if node.because else ""
        yield [_text(name), _status(node.status) + why, *map(_text, (took, attempts, rows, size))]


def _counts(record: RunRecord) -> list[str]:
    return counts_of_nodes(record.counts())


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, with_empty: bool = False) -> str:
    """Return a table of cells that are HTML, with the first rows. It leaves out columns without any text."""
    kept = [i for i in range(len(heads)) if with_empty or any(row[i] for row in rows)]
    head = "".join([f'<th style="{_CELL}">{_text(heads[i])}</th>' for i in kept])
    body = ["".join([f'<td style="{_CELL}">{row[i]}</td>' for i in kept]) for row in rows[:_MOST_ROWS]]
    lines = "".join([f"<tr>{cells}</tr>" for cells in body])
    more = f"<div>… and {len(rows) - _MOST_ROWS:,} more</div>" if len(rows) > _MOST_ROWS else ""
    return f'<table style="border-collapse:collapse"><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>{more}'


def _page(heading: str, body: str) -> str:
    return f'<div class="nfrun" style="overflow-x:auto"><div><b>{heading}</b></div>{body}</div>'


def _status(status: str) -> str:
    color = _COLORS.get(status)
    return f'<span style="color:{color}">{_text(status)}</span>' if color else _text(status)


def _pre(text: str) -> str:
    return f'<pre style="margin:2px 0 6px;white-space:pre-wrap">{escape(escape_controls(text))}</pre>'


def _text(text: str) -> str:
    return escape(escape_controls(ellipsize(text, _MOST_TEXT)))
