"""Defines `Observation`: the files and hosts that an attempt used while it ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nfrun.core.pipeline import NOTHING
from nfrun.core.values import field, frozen


@frozen
class Observation:
    """The files and hosts that one attempt used. It is sent between processes.

    `reads` are the checksums of the files that the node's code opened to read, taken when it opened them; "" for a
    missing file. `writes` are those of the files that it opened to write, taken at the end of the attempt. File names
    are relative to the folder of the pipeline, or absolute outside of it; `watch/seen_files.py` has the names of
    folders and patterns. `hosts` are the addresses that it connected to. `obstacle` says why the result is not reused
    without `cache: true`, "" if nothing is against it. `shared` are the files and hosts that code of several nodes used
    in a worker process; they count even if the attempt failed.
    """

    reads: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    writes: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    hosts: tuple[str, ...] = ()
    obstacle: str = ""
    shared: tuple[SharedObservation, ...] = ()


def merged(found: Sequence[Observation]) -> Observation | None:
    """Return what several observations have together, None of none. A file counts as it was when it was read first."""
    if len(found) < 2:
        return found[0] if found else None
    reads: dict[str, str] = {}
    writes: dict[str, str] = {}
    for each in reversed(found):
        reads.update(each.reads)
    for each in found:
        writes.update(each.writes)
    return Observation(
        reads,
        writes,
        tuple(dict.fromkeys(host for each in found for host in each.hosts)),
        next((each.obstacle for each in found if each.obstacle), ""),
        tuple(shared for each in found for shared in each.shared),
    )


@frozen
class SharedObservation:
    """The files and hosts that code of several nodes used: a file that one of them read may concern the others too.

    `lines` are files and line numbers: the first line of each function of the project that was running, innermost
    first. If `imported`, the last is the line of a module that was being imported. `nodes` are the nodes for which the
    code may have run. `of_attempt`: it ran in an attempt at the only one of them, and the observation of that attempt
    has it too.
    """

    lines: tuple[tuple[str, int], ...]
    imported: bool
    nodes: tuple[str, ...]
    of_attempt: bool
    seen: Observation
