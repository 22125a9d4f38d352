"""Finds the results of the calls of mapped nodes in the work folder: segments, by folder of a definition.

Beside them lie the files that the calls have read (`.reads`), and for each pipeline that uses the folder a file
(`.used`) with the number of its last run that did, and whether a node with `cache: true` did.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from nfrun.core.errors import HandoffError
from nfrun.core.values import frozen, replace
from nfrun.history.eviction import KeptTable
from nfrun.rows.segment_files import segment_totals, segments_in
from nfrun.system.atomic_files import PARTIAL, atomic_write, make_private, read_regular_file
from nfrun.system.checksums import text_checksum

MAP = "map"
_USED = ".used"


@frozen
class FolderUse:
    """The use of a folder by one pipeline, in its last run that used it, which has this `number`.

    `cached`: one of the nodes has `cache: true`. `unfinished`: one of them has not ended well.
    """

    pipeline: str
    number: int
    cached: bool = False
    unfinished: bool = False


def mark_used(folder: Path, use: FolderUse) -> None:
    """Note in the folder of a definition that a run uses it, once a run. Raises OSError."""
    path = folder / f"{text_checksum(use.pipeline)}{_USED}"
    known = _use(path)
    if known is not None and known.number == use.number:
        use = replace(use, cached=use.cached or known.cached)
    if known == use:
        return
    make_private(folder)
    with atomic_write(path, private=True) as partial:
        found = {"file": use.pipeline, "number": use.number, "cached": use.cached, "unfinished": use.unfinished}
        Path(partial).write_text(json.dumps(found), encoding="utf-8")


def segment_bytes(work: Path) -> int:
    """Return how many bytes all segments take."""
    return sum(_size(path) for folder in map_folders(work) for path in _segments(folder))


def kept_segments(work: Path, last_runs: Mapping[str, int], busy: Collection[str] = ()) -> list[KeptTable]:
    """Return the segments in the work folder. `last_runs` has the number of the last run of each pipeline.

    Protected are those of nodes with `cache: true`, those of nodes that have not ended well in the last run of their
    pipeline, and all that runs of the `busy` pipelines may use.
    """
    found = []
    for folder in map_folders(work):
        uses = folder_uses(folder)
        protected = any(
            use.cached or use.pipeline in busy or (use.unfinished and use.number >= last_runs.get(use.pipeline, 0))
            for use in uses
        )
        number = max((use.number for use in uses), default=0)
        for path in _segments(folder):
            seconds = 0.0 if protected else segment_totals(path)[1]
            found.append(KeptTable(path, _size(path), seconds, number, protected))
    return found


def map_folders(work: Path) -> list[Path]:
    """Return the folders of all definitions, by name."""
    try:
        found = sorted((work / MAP).iterdir())
    except OSError:
        return []
    return [path for path in found if path.is_dir() and not path.is_symlink()]


def folder_uses(folder: Path) -> list[FolderUse]:
    """Return the uses of the folder of a definition, without those whose file is damaged."""
    with suppress(OSError):
        return [use for path in sorted(folder.glob(f"*{_USED}")) if (use := _use(path)) is not None]
    return []


def leftovers(folder: Path, removed: Collection[Path]) -> Sequence[Path]:
    """Return what else can go when some segments of a folder are removed: the folder itself if none are left.

    Otherwise unfinished files, and the files that say what calls read whose segments are gone.
    """
    left = [path.name for path in _segments(folder) if path not in removed]
    if not left:
        return [folder]
    others = _entries(folder)
    reads = [
        path for path in others if path.suffix == ".reads" and not any(name.startswith(path.stem) for name in left)
    ]
    return [*reads, *(path for path in others if path.name.endswith(PARTIAL))]


def _segments(folder: Path) -> list[Path]:
    with suppress(HandoffError):
        return segments_in(folder)
    return []


def _entries(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(folder.iterdir())
    return []


def _use(path: Path) -> FolderUse | None:
    with suppress(OSError, ValueError, RecursionError, AttributeError):
        found = json.loads(read_regular_file(path))
        pipeline, number = found.get("file"), found.get("number")
        if isinstance(pipeline, str) and isinstance(number, int):
            return FolderUse(pipeline, number, found.get("cached") is True, found.get("unfinished") is True)
    return None


def _size(path: Path) -> int:
    with suppress(OSError):
        return os.stat(path).st_size  # noqa: PTH116
    return 0
