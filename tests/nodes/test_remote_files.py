"""A `read` node of a file on another machine is reused by the version that the service gives for the file."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from recorded_lines import text_of

from nfrun.core.pipeline import NodeSpec
from nfrun.nodes.external_files import ExternalInputs
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.session.options import RunOptions
from tests.program_runs import run_pipeline


class Service(ThreadingHTTPServer):
    """A small S3 with one file. `requests` are the methods that it was asked with."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.data, self.headers = b"n\n1\n", {"ETag": '"one"'}
        self.requests: list[str] = []
        self.go_on: threading.Event | None = None

    @property
    def uri(self) -> str:
        more = f"scheme=http&endpoint_override=127.0.0.1:{self.server_port}&region=us-east-1"
        return f"s3://key:secret@bucket/x.csv?{more}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def do_HEAD(self) -> None:
        self.server.requests.append(self.command)
        if self.server.go_on is not None:
            self.server.go_on.wait(60)
        data, asked = self.server.data, self.headers.get("Range")
        if asked:
            first, last = asked.removeprefix("bytes=").split("-")
            data = data[int(first) : int(last) + 1]
        self.send_response(206 if asked else 200)
        for name, value in {"Content-Length": str(len(data)), **self.server.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    do_GET = do_HEAD

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    service = Service()
    thread = threading.Thread(target=service.serve_forever, daemon=True)
    thread.start()
    yield service
    if service.go_on is not None:
        service.go_on.set()
    service.shutdown()
    thread.join()
    service.server_close()


def run(folder: Path, service: Service, more: str = "") -> str:
    """Run a node that reads the file, and return its status."""
    (folder / "p.yaml").write_text(f"nodes:\n  x: {{read: '{service.uri}', with: {{format: csv}}{more}}}\n")
    result = run_pipeline(RunOptions(folder / "p.yaml"))
    assert result.end.status == "ok", result.record.nodes["x"].failure
    return result.record.nodes["x"].status


def test_a_remote_file_is_read_again_when_its_etag_has_changed(service: Service, tmp_path: Path) -> None:
    assert [run(tmp_path, service) for _ in range(2)] == ["ok", "reused"]
    service.headers["ETag"] = '"two"'
    assert [run(tmp_path, service) for _ in range(2)] == ["ok", "reused"]
    service.headers["x-amz-version-id"] = "2"
    assert [run(tmp_path, service) for _ in range(2)] == ["ok", "reused"]
    journals = text_of(tmp_path / ".nfrun")
    assert "file s3://bucket/x.csv" in journals
    assert "secret" not in journals.replace('"secrets": []', "")


def test_a_remote_file_without_an_etag_is_read_every_time(service: Service, tmp_path: Path) -> None:
    service.headers = {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
    assert [run(tmp_path, service) for _ in range(2)] == ["ok", "ok"]
    assert [run(tmp_path, service, ", cache: true") for _ in range(2)] == ["ok", "reused"]


def test_a_file_that_changes_while_it_is_read_is_read_again(service: Service, tmp_path: Path) -> None:
    spec, inputs = NodeSpec("x", "read", service.uri, (), {}, (), (), {}), ExternalInputs(tmp_path)
    assert list(inputs.snapshot(spec) or {}) == ["s3://bucket/x.csv"]
    assert inputs.recheck(spec) == inputs.snapshot(spec)
    service.headers["ETag"] = '"two"'
    assert inputs.recheck(spec) is None


def test_a_service_that_does_not_answer_is_asked_once(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nfrun.nodes.external_files.PATIENCE_SECONDS", 0.5)
    service.go_on = threading.Event()
    inputs = ExternalInputs(tmp_path)
    for name in ("x", "y", "z"):
        spec = NodeSpec(name, "read", service.uri, (), {}, (), (), {})
        assert inputs.snapshot(spec) is None
        assert inputs.obstacle(spec) == "it reads files that nfrun cannot check for changes"
    assert service.requests == ["HEAD"]


def test_validate_asks_nobody(service: Service, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(f"nodes:\n  x: {{read: '{service.uri}', with: {{format: csv}}}}\n")
    read_pipeline(tmp_path / "p.yaml")
    assert service.requests == []


PLAN = """
import sys
sys.argv = ["nfrun", "plan", "p.yaml"]
import nfrun.nodes.external_files
nfrun.nodes.external_files.PATIENCE_SECONDS = 0.3
from nfrun.__main__ import main
main()
"""


def test_a_plan_does_not_wait_for_a_service_that_does_not_answer(service: Service, tmp_path: Path) -> None:
    assert run(tmp_path, service) == "ok"
    service.requests.clear()
    service.go_on = threading.Event()
    command = [sys.executable, "-c", PLAN]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (0, "")
    assert "it reads files that nfrun cannot check for changes\n" in done.stdout
    assert service.requests == ["HEAD"]
