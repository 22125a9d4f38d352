"""Asks file services, such as S3, for the version of a file: its ETag, and its version id where there are several."""

from __future__ import annotations

import queue
from urllib.parse import urlsplit

from nfrun.system.threads import ABANDONED, start_thread

PATIENCE_SECONDS = 10.0
_KEYS = ("etag", "versionid", "generation")  # in lower case; S3, Google and Azure have the first


class RemoteVersions:
    """Versions of files by URI. A service that has not answered in time is not asked again. Thread-safe."""

    def __init__(self) -> None:
        self._silent: set[str] = set()

    def of(self, uri: str) -> str | None:
        """Return the version of the file now; None if the service gives none, or no answer within 10 seconds."""
        host = f"{urlsplit(uri).scheme}://{urlsplit(uri).netloc}"
        if not uri or host in self._silent:
            return None
        # The service is asked on a thread that may be left behind: no library ends all waiting in time.
        answer: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        start_thread(lambda: answer.put(_version(uri)), ABANDONED)
        try:
            return answer.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            self._silent.add(host)
            return None


def _version(uri: str) -> str | None:
    try:
        from pyarrow.fs import FileSystem

        filesystem, path = FileSystem.from_uri(uri)
        with filesystem.open_input_file(path) as file:
            found = {str(key).lower(): value for key, value in (file.metadata() or {}).items()}
    except Exception:  # if the error persists, the node fails with it when it reads the file
        return None
    values = [str(found[key]) for key in _KEYS if found.get(key)]
    return " ".join(values) or None
