"""Puts together the document that the page of a run shows: plain JSON values, with secrets masked.

Times are seconds since the run began. What is not known is left out. A page has a size, so the more nodes there are,
the less is said of each: the outputs of the pipeline, failed nodes and those that took longest come first.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from nfrun.core.events import NOT_SELECTED
from nfrun.core.pipeline import OutputId
from nfrun.core.text import escape_controls, shortened
from nfrun.history.database import read_journal
from nfrun.history.journal import FinishedOutput, JournalContents
from nfrun.history.run_plan import PlannedNode, RunPlan, place_of
from nfrun.history.work_dir import WorkDir, run_number
from nfrun.lookback.page.output_data import MANY, add_details
from nfrun.lookback.page.recorded import DISABLED, NOT_ENDED, Attempt, Recorded, read_recorded
from nfrun.lookback.page.run_times import assign_lanes, overhead, path_data, path_of, under_way
from nfrun.lookback.run_diff import Document, diff_runs, facts_of, output_texts, schema_columns
from nfrun.lookback.run_reference import ListedRun, count_nodes, run_before
from nfrun.lookback.run_view import run_document
from nfrun.reports.json_document import failure_document, node_document
from nfrun.system.logs.redaction import Redactor
from nfrun.system.runtime import gc_paused

# Names of nodes and of outputs stay as they are, as in all that nfrun prints: links in the page go by them.
# `edges` has lists of them, and so has `nodes` in the critical path.
_IDS = frozenset({"id", "of", "node", "group", "output", "home", "status", "kind", "digest", "edges", "nodes"})
# What is in these is the user's: its names are no ids, and its numbers are no times, sizes or counts.
_VALUES = frozenset({"params", "inputs", "matrix", "first_rows", "failing_rows"})
_MAX_LISTED = 4
_PICTURE, _DRAWING = "image/", "image/svg+xml"


def masked(document: Any, redactor: Redactor) -> Any:
    """Return JSON values with the values of secrets masked in all texts, and in the numbers of users' data."""
    return _masked(document, cache(redactor), is_of_user=False)  # most texts are there more than once


def hidden_text(secrets: Sequence[str]) -> str:
    """Return why a page shows nothing of what outputs hold: these secrets have no values here."""
    names, one = shortened([*secrets], _MAX_LISTED), len(secrets) == 1
    what = f"the secret{'' if one else 's'} {names} {'is' if one else 'are'} not set here and cannot be masked"
    return f"{what}: the page shows nothing of what outputs hold (set {'it' if one else 'them'} to have that)"


def _masked(value: Any, redact: Callable[[str], str], *, is_of_user: bool) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list | tuple):
        return [_masked(item, redact, is_of_user=is_of_user) for item in value]
    if isinstance(value, dict):
        if str(value.get("type", "")).startswith(_PICTURE) and "data" in value:
            return value if value["type"] != _DRAWING else {**value, "data": _masked_drawing(value["data"], redact)}
        found = {}
        for key, item in value.items():
            is_id = not is_of_user and key in _IDS and not _has_documents(item)
            # Of a run `inputs` are the user's, of a node they are documents.
            is_value = key in _VALUES and not (key == "inputs" and isinstance(item, list))
            found[redact(key)] = item if is_id else _masked(item, redact, is_of_user=is_of_user or is_value)
        return found
    if not is_of_user or value is None or isinstance(value, bool):
        return value
    text = redact(str(value))
    return value if text == str(value) else text


def _masked_drawing(data: str, redact: Callable[[str], str]) -> str:
    """Return a drawing with its text masked. Other pictures are no text."""
    text = base64.b64decode(data).decode(errors="replace")
    return base64.b64encode(redact(text).encode()).decode()


def _has_documents(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value))


VERSION = 1


def run_data(work: WorkDir, run: ListedRun, redactor: Redactor, unknown: Sequence[str] = ()) -> dict[str, Any]:
    """Return the document of a run in a work folder, also of one that was killed or is under way.

    `unknown` are secrets of the run whose values the redactor does not know. They are masked in all that the run has
    recorded, but not in what its outputs hold: if there are any, nothing is shown of that.

    Raises PermissionError if its journal cannot be read, and OSError if the runs cannot be listed.
    """
    with gc_paused():
        document = _document(work, read_recorded(run), has_contents=not unknown)
    if unknown:
        document["run"]["hidden"] = hidden_text(unknown)
    return masked(document, redactor) if redactor else document


def _document(work: WorkDir, found: Recorded, *, has_contents: bool) -> dict[str, Any]:
    is_brief = len(found.nodes) > MANY
    path = path_of(found)
    nodes = {name: node_data(found, name, is_brief=is_brief) for name in found.nodes}
    for name, lane in _lanes(found).items():
        nodes[name]["lane"] = lane
    for name in path.nodes:
        nodes[name]["critical"] = True
    add_details(found, nodes, has_contents=has_contents)
    document: dict[str, Any] = {
        "version": VERSION,
        "run": {**_run(found), "critical_path": path_data(found, path)},
        "nodes": list(nodes.values()),
        "edges": [list(edge) for edge in found.edges()],
        "change": change_data(work, found.run, found.journal),
    }
    if unended := under_way(found):
        document["run"]["critical_path"]["text"] = unended["text"]
        document["run"]["duration"] = unended["duration"]
    if cost := overhead(found):
        document["run"]["overhead"] = cost
    return document


def _lanes(found: Recorded) -> dict[str, int]:
    """Return the lanes of the nodes that worked. Those of one worker of a cluster are side by side."""
    workers: dict[str, list[str]] = {}
    for name in found.spans:
        workers.setdefault(found.nodes[name].worker, []).append(name)
    lanes: dict[str, int] = {}
    for _, names in sorted(workers.items()):
        own = assign_lanes([(found.spans[name].started, found.spans[name].ended) for name in names])
        first = 1 + max(lanes.values(), default=-1)
        lanes.update((name, first + lane) for name, lane in zip(names, own, strict=True))
    return lanes


_OF_RUN = ("number", "status", "command", "params", "inputs", "profile", "versions", "host", "error")  # as in `show`


def _run(found: Recorded) -> dict[str, Any]:
    run, counts = found.run, count_nodes(found.run)
    for status in (NOT_ENDED, DISABLED):
        if number := sum(node.status == status for node in found.nodes.values()):
            counts[status] = number
    document = run_document(run, ())
    known = {
        "id": run.id,
        "pipeline": run.file,
        "counts": {"ran" if status == "ok" else status: count for status, count in counts.items()},
        "began": run.at,
        "duration": run.duration,
        **{name: document[name] for name in _OF_RUN},
    }
    if found.plan is not None:
        on = found.plan.on
        known |= {"executor": on.executor, "slots": on.slots, "schedule": on.schedule}
        known["machine"] = {"cores": on.cores, "memory": on.memory, "platform": on.platform}
    return {name: value for name, value in known.items() if value not in (None, "", [], {})}


_MOST_COLUMNS = 60
_MOST_SHOWN = 10  # failing rows of a check
_AS_ALWAYS = ("of", "matrix", "status", "because", "tolerated", "checks", "map")  # as in each document of a run


def node_data(found: Recorded, name: str, *, is_brief: bool) -> dict[str, Any]:
    """Return a node as JSON values. A brief one has no schemas, no digests, and no text of its definition."""
    node, planned = found.nodes[name], found.planned.get(name)
    known = node_document(node, node.of, node.cell, node.work)
    shown = {"id": name, "stage": found.stages[name], **{key: known[key] for key in _AS_ALWAYS if known.get(key)}}
    if kind := planned.kind if planned is not None else node.key_inputs.get("kind"):
        shown["kind"] = kind
    if group := name.rpartition("/")[0]:  # the sub-pipeline
        shown["group"] = group
    if planned is not None and planned.runs_last:
        shown["section"] = planned.section
    if node.reason:
        shown["reason"] = node.reason
    if node.reused:
        shown["home"] = home = run_number(node.home) or node.home
        shown["reason"] = f"nothing that it depends on has changed since run {home}"
        shown["took_then"] = round(node.duration, 6)
    if name in found.spans:
        shown |= _times(found, name)
    if reads := found.reads[name]:
        shown["inputs"] = [_input(given, output, found) for given, output in reads]
    if node.outputs:
        shown["outputs"] = [_output(output, is_brief=is_brief) for output in node.outputs]
    for check, of_check in zip(node.checks, shown.get("checks", ()), strict=True):
        of_check |= {"text": check.text, "failing_rows": list(check.shown[:_MOST_SHOWN])}
    if node.map is not None:
        shown["map"]["busy"] = round(node.map.busy, 6)
    if found.plan is not None and planned is not None:
        shown["definition"] = _definition(planned, found.plan, is_brief=is_brief)
    if node.failure is not None:
        shown["failure"] = failure_document(node.failure)
        if planned is not None:
            shown["failure"]["place"] = escape_controls(place_of(planned))
    return shown


def _times(found: Recorded, name: str) -> dict[str, Any]:
    """Return when a node worked, its attempts, and what it did in the last one. Times are rounded to microseconds."""
    node, span, attempts = found.nodes[name], found.spans[name], found.attempts[name]
    last, times = attempts[-1], attempts[-1].times
    seconds = {"queued": span.ready, "started": span.started, "ended": span.ended, "duration": node.work}
    seconds |= {key: value for key in ("cpu", "gil_wait") if (value := getattr(times, key))}
    shown: dict[str, Any] = {key: round(value, 6) for key, value in seconds.items()}
    if node.memory:
        shown["memory"] = node.memory
    if node.worker:
        shown["worker"] = node.worker
    queued = [("queued", times.started - times.queued, times.started)] if times.queued > 0 else []
    shown["phases"] = [[phase, round(a, 6), round(b, 6)] for phase, a, b in (*queued, *last.phases)]
    if node.earlier or node.attempts > 1:
        earlier = [_attempt(attempt) for attempt in attempts[:-1]] or [{}] * (node.attempts - 1)
        shown["attempts"] = [*earlier, _attempt(last)]
    return shown


def _attempt(attempt: Attempt) -> dict[str, Any]:
    times = {"started": attempt.times.started, "duration": attempt.times.ended - attempt.times.started}
    failure = {"failure": attempt.error} if attempt.error else {}
    return {**{key: round(value, 6) for key, value in times.items()}, **failure}


def _input(name: str, id: OutputId, found: Recorded) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": name or id, "output": id}
    output = found.outputs.get(id)
    return shown if output is None else {**shown, "rows": output.rows, "bytes": output.bytes}


def _output(output: FinishedOutput, *, is_brief: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"id": output.id, "rows": output.rows, "bytes": output.bytes}
    if output.id.name:
        found["name"] = output.id.name
    found["type"] = output.type
    if output.shown:
        found["shown"] = True
    if not is_brief:
        columns = [list(column.partition(": ")[::2]) for column in schema_columns(output.schema)]
        found |= {"schema": columns[:_MOST_COLUMNS], "digest": output.digest}
        if len(columns) > _MOST_COLUMNS:
            found["more_columns"] = len(columns) - _MOST_COLUMNS
    return found


_MOST_LINES, _LONGEST_LINE = 60, 300


def _definition(node: PlannedNode, plan: RunPlan, *, is_brief: bool) -> dict[str, Any]:
    """Return the place of a node and, unless it is to be brief, the lines of the file that define it."""
    place = place_of(node)
    lines = [] if is_brief else plan.texts.get(place, "").split("\n")
    shown = [line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…" for line in lines[:_MOST_LINES]]
    text = "\n".join([*shown, *(["…"] if len(lines) > _MOST_LINES else [])])
    return {"place": escape_controls(place), **({"yaml": text} if text else {})}


_MOST_CHANGED = 200
_SLOWER, _LEAST = 0.2, 0.05  # share and seconds from which on another time is told


def change_data(work: WorkDir, run: ListedRun, journal: JournalContents) -> dict[str, Any] | None:
    """Return what differs from the run before, of the same profile if there is one; None if none has ended."""
    before = run_before(work, run)
    if before is None:
        return None
    found = diff_runs((before, run), (read_journal(before.folder), journal))
    nodes = [_changed_node(node) for node in found["nodes"] if NOT_SELECTED not in node["status"]]
    told = {node["id"] for node in nodes}
    nodes += [_timing(*timing) for timing in found["seconds"].items() if timing[0] not in told and _is_told(*timing[1])]
    change: dict[str, Any] = {
        "against": {"id": before.id, "number": before.number, "status": before.status, "began": before.at},
        "same": found["same"],
        "nodes": nodes[:_MOST_CHANGED],
    }
    if len(nodes) > _MOST_CHANGED:
        change["more_nodes"] = len(nodes) - _MOST_CHANGED
    if run.duration is not None and before.duration is not None:
        change |= {"seconds": round(run.duration - before.duration, 6), "before_seconds": round(before.duration, 6)}
    return change | {what: found[what] for what in ("params", "versions") if found[what]}


def _changed_node(diff: Document) -> dict[str, Any]:
    """Return how a node differs, in the words of `nfrun diff`."""
    before, after = diff["status"]
    what = diff["change"] if "" in (before, after) else "; ".join(facts_of(diff))
    outputs = [f"{output['id']}: {', '.join(output_texts(output))}" for output in diff["outputs"]]
    found = {"id": diff["node"], "what": what, "before": before, "after": after}
    return {**found, "outputs": outputs} if outputs else found


def _is_told(before: float, after: float) -> bool:
    return abs(after - before) > max(_LEAST, _SLOWER * before)


def _timing(node: str, seconds: Sequence[float]) -> dict[str, Any]:
    before, after = seconds
    what = "slower" if after > before else "faster"
    return {"id": node, "what": what, "seconds": [round(before, 6), round(after, 6)]}
