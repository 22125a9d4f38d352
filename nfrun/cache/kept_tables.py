"""Finds the tables that earlier runs have left, and removes those that are over the budget of the work folder."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from nfrun.cache.cache_key import reader_digest
from nfrun.cache.eviction import KeptTable, default_budget, tables_to_remove
from nfrun.cache.history import table_path
from nfrun.cache.journal import FinishedNode, FinishedOutput, JournalContents, RunHeader


def kept_tables(journals: Iterable[JournalContents], busy: Collection[str] = ()) -> list[KeptTable]:
    """Return the tables that runs have left, by what their journals say.

    Protected are the outputs that a pipeline shows, of its last run and of its last run that ended with `ok`; tables of
    nodes with `cache: true`, for each cache key those of the last run that has them; and all tables that runs of the
    `busy` pipelines use. A table that a later run has made again costs nothing to remove.
    """
    known = [(run.started, run) for run in journals if run.started is not None]
    known.sort(key=lambda pair: pair[0].number, reverse=True)
    found: dict[Path, KeptTable] = {}
    names: dict[Path, set[str]] = {}
    last: set[tuple[str, ...]] = set()  # pipelines of which a run was seen, and with `ok` one that ended well
    cached: dict[tuple[str, str], bool] = {}  # whether a node has `cache: true`, by what its last run says
    pinned: set[tuple[str, ...]] = set()
    contents: set[tuple[str, ...]] = set()
    for header, run in known:
        is_last = _is_first(last, (header.pipeline,))
        if run.ended == "ok" and _is_first(last, (header.pipeline, "ok")):
            is_last = True
        for finished, output, path in _files(run, names):
            protected = header.pipeline in busy or (is_last and _is_shown(header, output))
            if cached.setdefault((header.pipeline, output.id), finished.cached) and finished.cached:
                protected |= _is_first(pinned, (header.pipeline, output.id, finished.key or ""))
            result = finished.key or "", output.id
            before = found.get(path)
            if before is None:
                total = sum(other.size for other in finished.outputs)
                is_only = _is_first(contents, (header.pipeline, *result, reader_digest(output)))
                seconds = finished.duration * output.size / total if total and is_only else 0.0
                found[path] = KeptTable(path, output.size, seconds, header.number, protected, frozenset({result}))
            elif (protected and not before.is_protected) or result not in before.results:
                protected |= before.is_protected
                found[path] = replace(before, is_protected=protected, results=before.results | {result})
    for header, run in known:
        if not run.ended and header.pipeline not in busy:  # it was killed, perhaps before it wrote the line of a node
            for path in _arrow_files(run.folder):
                if path not in found:
                    found[path] = KeptTable(path, path.stat().st_size, 0.0, header.number)
    return list(found.values())


def budget_of(work: Path, tables: Iterable[KeptTable], budget: int | None) -> int:
    """Return the budget of a work folder with these tables: the one that is given, or if that is None the default."""
    if budget is not None:
        return budget
    return default_budget(shutil.disk_usage(work).free, sum(table.size for table in tables))


def remove_over_budget(work: Path, tables: Sequence[KeptTable], budget: int | None) -> tuple[int, int]:
    """Remove tables until the others fit the budget; None is the default. Returns the bytes that stay, and the budget.

    Raises OSError at the first file that cannot be removed.
    """
    budget = budget_of(work, tables, budget)
    kept = sum(table.size for table in tables)
    for table in tables_to_remove(tables, budget):
        table.path.unlink(missing_ok=True)
        kept -= table.size
    return kept, budget


def _files(run: JournalContents, names: dict[Path, set[str]]) -> Iterator[tuple[FinishedNode, FinishedOutput, Path]]:
    """Yield the outputs of a run whose files are there, with their paths."""
    for finished in reversed(run.finished):
        for output in finished.outputs:
            path = table_path(finished, output) if output.file else None
            if path is not None and path.name in _names(path.parent, names):
                yield finished, output, path


def _arrow_files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.arrow") if path.is_file() and not path.is_symlink()]


def _names(folder: Path, known: dict[Path, set[str]]) -> set[str]:
    if folder not in known:
        known[folder] = set()
        with suppress(OSError):
            known[folder] = {path.name for path in folder.iterdir()}
    return known[folder]


def _is_shown(header: RunHeader, output: FinishedOutput) -> bool:
    return output.shown or not header.at  # older journals do not say which outputs are shown


def _is_first(seen: set[tuple[str, ...]], key: tuple[str, ...]) -> bool:
    """Add the key, and return whether it is new."""
    is_new = key not in seen
    seen.add(key)
    return is_new
