"""An S3 server of this process, on a free port of the loopback device. It counts the requests that it gets."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIATESTOFNFRUN00000",
    "AWS_SECRET_ACCESS_KEY": "very-secret-key-of-a-test",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class S3Server:
    """A server of moto. `requests` has the method and the path of each request, with `?parts` if it has options."""

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.requests: list[str] = []
        self.hold = threading.Event()  # set while requests pass
        self.hold.set()
        self._held: Callable[[str], bool] = lambda request: False
        self.reached = threading.Event()
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def uri(self, path: str) -> str:
        """Return the address of a path that begins with a bucket."""
        return f"s3://{path}?endpoint_override=127.0.0.1%3A{self._server.server_port}&region=us-east-1&scheme=http"

    def make_bucket(self, name: str) -> None:
        from pyarrow.fs import FileSystem

        service, _ = FileSystem.from_uri(f"{self.uri(name)}&allow_bucket_creation=true")
        service.create_dir(name)

    @contextmanager
    def holding(self, what: Callable[[str], bool]) -> Iterator[threading.Event]:
        """Let requests wait that `what` is true for. Yields what is set when the first has come."""
        self.reached.clear()
        self.hold.clear()
        self._held = what
        try:
            yield self.reached
        finally:
            self._held = lambda request: False
            self.hold.set()

    @contextmanager
    def refusing_keys(self) -> Iterator[None]:
        """Know no keys."""
        from moto.core.responses import ActionAuthenticatorMixin, settings

        before, settings.INITIAL_NO_AUTH_ACTION_COUNT = settings.INITIAL_NO_AUTH_ACTION_COUNT, 0.0
        ActionAuthenticatorMixin.request_count = 0
        try:
            yield
        finally:
            settings.INITIAL_NO_AUTH_ACTION_COUNT = before

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        options = f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}{options}"
        self.requests.append(request)
        if self._held(request):
            self.reached.set()
            self.hold.wait()
        found: Iterable[bytes] = self._app(environ, start)
        return found
