"""Finds the outputs that earlier runs of a pipeline left, and verifies their files.

Names and modification times prove nothing: a file is used only if its size and checksum are those in the journal.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from nfrun.cache.cache_key import reader_digest
from nfrun.cache.journal import FinishedNode, FinishedOutput, read_journal
from nfrun.cache.work_dir import WorkDir
from nfrun.system.checksums import file_checksum


class RunHistory:
    """The finished nodes of all earlier runs of one pipeline, the latest run first.

    `pipeline` is the name that `WorkDir.pipeline_name` gives. `warn(message)` is called for each file that is damaged
    or cannot be read. With `keep_bad`, a damaged file is renamed to `<name>.bad`. Reads all journals when it is made;
    raises OSError if the run folders cannot be listed, and PermissionError if a journal cannot be read.
    """

    def __init__(self, work: WorkDir, pipeline: str, *, warn: Callable[[str], None], keep_bad: bool) -> None:
        self._warn = warn
        self._keep_bad = keep_bad
        self._by_key: dict[str, list[FinishedNode]] = {}
        self._by_node: dict[str, list[FinishedNode]] = {}
        self._intact: dict[Path, bool] = {}
        journals = [read_journal(folder) for folder in work.run_folders()]
        matching = [(run.started.number, run) for run in journals if run.started and run.started.pipeline == pipeline]
        for _, run in sorted(matching, key=lambda pair: pair[0], reverse=True):
            for finished in reversed(run.finished):
                self._by_node.setdefault(finished.node, []).append(finished)
                if finished.key is not None:
                    self._by_key.setdefault(finished.key, []).append(finished)

    def with_key(self, key: str) -> list[FinishedNode]:
        """Return the journal entries with this cache key, the latest run first."""
        return self._by_key.get(key, [])

    def of_node(self, node: str) -> list[FinishedNode]:
        """Return all journal entries of the node, with any cache key or none, the latest run first."""
        return self._by_node.get(node, [])

    def find_file(self, finished: FinishedNode, output: str) -> Path | None:
        """Return an intact file with this output, from any run with the same cache key; None if there is none.

        The file holds the same content and schema. Each file is verified once.
        """
        expected = finished.output(output)
        for other in self.with_key(finished.key or ""):
            found = other.output(output)
            if found is None or expected is None or reader_digest(found) != reader_digest(expected):
                continue
            path = table_path(other, found)
            if path is not None and self._is_intact(path, found):
                return path
        return None

    def _is_intact(self, path: Path, output: FinishedOutput) -> bool:
        if path not in self._intact:
            self._intact[path] = self._verify(path, output)
        return self._intact[path]

    def _verify(self, path: Path, output: FinishedOutput) -> bool:
        try:
            found = path.stat(follow_symlinks=False)
            if stat.S_ISREG(found.st_mode) and found.st_size == output.size and file_checksum(path) == output.checksum:
                return True
        except FileNotFoundError:
            return False  # removed by nfrun when no longer needed, or by the user
        except OSError as error:  # possibly temporary, so leave the file in place
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


def table_path(finished: FinishedNode, output: FinishedOutput) -> Path | None:
    """Return the path of the output's file, None if no run has a file of it. The file may have been removed.

    Accepts only plain names from a journal, so that no file outside of the folders of runs is touched.
    """
    folder, file = finished.folder, output.file
    if folder is None or not file or not _is_plain(file):
        return None
    if not output.home:
        return folder / file
    home = folder.with_name(output.home) if _is_plain(output.home) else None
    return home / file if home is not None and not home.is_symlink() else None


def _is_plain(name: str) -> bool:
    return name != ".." and Path(name).name == name
