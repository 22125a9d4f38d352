"""What earlier runs of a pipeline have left that can be used again, and whether it is still what it was.

Knows no run that is under way. Nothing is believed because of a name or a time: a file counts if its bytes are those
that were written.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from nfrun.cache.journal import Finished, Output, read_journal
from nfrun.cache.work_dir import WorkFolder
from nfrun.system.checksums import file_checksum


class Past:
    """The finished nodes of all earlier runs of one pipeline, by `WorkFolder.name_of` it, the latest run first.

    `warn(message)` is told of every file that is not what it was; it is kept under another name if `keep_bad`.
    """

    def __init__(self, work: WorkFolder, pipeline: str, *, warn: Callable[[str], None], keep_bad: bool) -> None:
        self._warn = warn
        self._keep_bad = keep_bad
        self._by_key: dict[str, list[Finished]] = {}
        self._ends: dict[str, list[Finished]] = {}
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

    def find(self, key: str) -> list[Finished]:
        """Those that have finished under this key."""
        return self._by_key.get(key, [])

    def ends(self, node: str) -> list[Finished]:
        """All ends of the node, under whatever key."""
        return self._ends.get(node, [])

    def left(self, finished: Finished) -> list[Path]:
        """The files of its outputs that are only there because that run did not end well."""
        if finished.folder not in self._left:
            return []
        return [path for output in finished.outputs if (path := _path(finished, output)) is not None]

    def file(self, finished: Finished, output: str) -> Path | None:
        """A file that holds this output as it was given then, from whichever run has one; None if none has."""
        wanted = finished.output(output)
        for other in self.find(finished.key or ""):
            found = other.output(output)
            if found is None or wanted is None:
                continue
            if (found.digest, found.traits) != (wanted.digest, wanted.traits):
                continue
            path = _path(other, found)
            if path is not None and self._is_sound(path, found):
                return path
        return None

    def _is_sound(self, path: Path, output: Output) -> bool:
        if path not in self._sound:
            self._sound[path] = self._look_at(path, output)
        return self._sound[path]

    def _look_at(self, path: Path, output: Output) -> bool:
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


def _path(finished: Finished, output: Output) -> Path | None:
    """Where that run has the output. What a journal says is a name and no path: nothing beside is ever touched."""
    name = output.file
    if finished.folder is None or not name or name == ".." or Path(name).name != name:
        return None
    return finished.folder / name
