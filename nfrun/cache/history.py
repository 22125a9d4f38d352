"""What earlier runs of a pipeline have left that can be used again, and whether it is still what it was.

Knows no run that is under way. Nothing is believed because of a name or a time: a file counts if its bytes are those
that were written.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from nfrun.cache.journal import FinishedNode, FinishedOutput, read_journal
from nfrun.cache.work_dir import WorkDir
from nfrun.system.checksums import file_checksum


class RunHistory:
    """The finished nodes of all earlier runs of one pipeline, by `WorkFolder.name_of` it, the latest run first.

    `warn(message)` is told of every file that is not what it was; it is kept under another name if `keep_bad`.
    """

    def __init__(self, work: WorkDir, pipeline: str, *, warn: Callable[[str], None], keep_bad: bool) -> None:
        self._warn = warn
        self._keep_bad = keep_bad
        self._by_key: dict[str, list[FinishedNode]] = {}
        self._ends: dict[str, list[FinishedNode]] = {}
        self._sound: dict[Path, bool] = {}
        self._left: set[Path] = set()
        told = [read_journal(folder) for folder in work.run_folders()]
        known = [(run.started, run) for run in told if run.started is not None]
        mine = [(started.number, run) for started, run in known if started.pipeline == pipeline]
        for _, run in sorted(mine, key=lambda pair: pair[0], reverse=True):
            if run.ended != "ok":
                self._left.add(run.folder)
            for finished in reversed(run.finished):
                self._ends.setdefault(finished.node, []).append(finished)
                if finished.key is not None:
                    self._by_key.setdefault(finished.key, []).append(finished)

    def with_key(self, key: str) -> list[FinishedNode]:
        """Those that have finished under this key."""
        return self._by_key.get(key, [])

    def of_node(self, node: str) -> list[FinishedNode]:
        """All ends of the node, under whatever key."""
        return self._ends.get(node, [])

    def leftovers(self, finished: FinishedNode) -> list[Path]:
        """The files of its outputs that are only there because that run did not end well."""
        if finished.folder not in self._left:
            return []
        return [path for output in finished.outputs if (path := _path(finished, output)) is not None]

    def find_file(self, finished: FinishedNode, output: str) -> Path | None:
        """A file that holds this output as it was given then, from whichever run has one; None if none has."""
        wanted = finished.output(output)
        for other in self.with_key(finished.key or ""):
            found = other.output(output)
            if found is None or wanted is None:
                continue
            if (found.digest, found.schema_digest) != (wanted.digest, wanted.schema_digest):
                continue
            path = _path(other, found)
            if path is not None and self._is_sound(path, found):
                return path
        return None

    def _is_sound(self, path: Path, output: FinishedOutput) -> bool:
        if path not in self._sound:
            self._sound[path] = self._look_at(path, output)
        return self._sound[path]

    def _look_at(self, path: Path, output: FinishedOutput) -> bool:
        try:
            found = path.stat(follow_symlinks=False)
            if stat.S_ISREG(found.st_mode) and found.st_size == output.size and file_checksum(path) == output.checksum:
                return True
        except FileNotFoundError:
            return False  # removed when it was of no more use, or by somebody
        except OSError as error:  # which may be over the next time: it stays where it is
            self._warn(f"{path} cannot be read and is not used: {error.strerror}")
            return False
        kept = ""
        if self._keep_bad:
            bad = path.with_name(f"{path.name}.bad")
            with suppress(OSError):
                path.replace(bad)
                kept = f"; it is kept as {bad.name}"
        self._warn(f"{path} is damaged and is not used{kept}")
        return False


def _path(finished: FinishedNode, output: FinishedOutput) -> Path | None:
    """Where that run has the output. What a journal says is a name and no path: nothing beside is ever touched."""
    name = output.file
    if finished.folder is None or not name or name == ".." or Path(name).name != name:
        return None
    return finished.folder / name
