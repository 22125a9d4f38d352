"""A pretended model behind an endpoint as OpenAI has it: POST …/v1/chat/completions. Needs nothing but Python.

    python server.py                       # serves until Ctrl-C
    python server.py nfrun run evals.yaml  # serves while the command runs, with its API_KEY, and exits with its code

Everything follows from a hash of the request: whether the answer is right, how long it takes, and what goes wrong. So
the accuracy, the cost and the failures of a pipeline that asks it are known exactly. It knows the answers to the
questions that `make_data.py` makes. GET …/counters tells how often it gave which answer.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PORT, KEY = 8479, "key-of-the-pretended-model"
WRONG = {"small": 36, "large": 12}  # of 100 answers; a third of that if the model is asked to think step by step
BUSY, BROKEN, GARBAGE = 6, 3, 2  # of 100 requests: 429 and 500 the first time, no JSON four times
GARBAGE_VISITS = 4
RETRY_AFTER = "0.2"
SECONDS = (0.02, 0.08)  # how long an answer takes


class Server(ThreadingHTTPServer):
    """Serves on a port of this machine, 0 for a free one. All who have another `key` get 401.

    `log` has the time, the status and the seconds of each request, in the order of their arrival.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int = 0, key: str = KEY) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.key = key
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        self.log: list[dict[str, Any]] = []
        self.visits: Counter[bytes] = Counter()
        self.lock = threading.Lock()

    def __enter__(self) -> Server:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def counters(self) -> dict[str, int]:
        """Return how many requests there were, and how many got which answer."""
        with self.lock:
            kinds = Counter(entry["kind"] for entry in self.log)
        return {"requests": sum(kinds.values()), **dict(sorted(kinds.items()))}

    def visit(self, digest: bytes) -> int:
        """Count the requests that are equal. Returns how many there were before this one."""
        with self.lock:
            self.visits[digest] += 1
            return self.visits[digest] - 1


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self._send(200, self.server.counters())

    def do_POST(self) -> None:
        arrived = time.monotonic()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, kind, answer, seconds = self._answer(body)
        with self.server.lock:
            self.server.log.append({"arrived": arrived, "status": status, "kind": kind, "seconds": seconds})
        time.sleep(seconds)
        with suppress(ConnectionError):  # who has asked may have been killed
            self._send(status, answer)

    def _answer(self, body: bytes) -> tuple[int, str, Any, float]:
        """Return the status, its name in the counters, the answer and how long it takes."""
        if self.headers.get("Authorization") != f"Bearer {self.server.key}":
            return 401, "unauthorized", {"error": {"message": "wrong API key"}}, 0.0
        try:
            request = json.loads(body)
            model, text = request["model"], "\n".join(message["content"] for message in request["messages"])
        except (ValueError, KeyError, IndexError, TypeError):
            return 400, "bad", {"error": {"message": "no model and messages in the request"}}, 0.0
        if model not in WRONG:
            return 404, "unknown", {"error": {"message": f"there is no model {model!r}"}}, 0.0
        digest = hashlib.sha256(f"{model}\n{text}".encode()).digest()
        chances, visits = [byte * 100 // 256 for byte in digest[:4]], self.server.visit(digest)
        seconds = SECONDS[0] + (SECONDS[1] - SECONDS[0]) * digest[4] / 255
        if chances[0] < BUSY and not visits:
            return 429, "busy", {"error": {"message": "too many requests"}}, 0.0
        if chances[1] < BROKEN and not visits:
            return 500, "broken", {"error": {"message": "it fell over"}}, seconds
        if chances[2] < GARBAGE and visits < GARBAGE_VISITS:
            return 200, "garbage", b'{"choices": [{"mess', seconds
        steps = "step by step" in text
        found = truth(text)
        if chances[3] * (3 if steps else 1) < WRONG[model]:
            found = wrong(found, digest)
        told = f"{REASONING} {found}" if steps else found
        if form := request.get("response_format"):  # JSON, with the result as its first entry
            told = json.dumps({next(iter(form["json_schema"]["schema"]["properties"])): found})
        return 200, "answered", completion(request, told), seconds

    def _send(self, status: int, answer: Any) -> None:
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == 429:
            self.send_header("Retry-After", RETRY_AFTER)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


REASONING = "Let me see what is asked. I take it apart, do one part after the other, and look at it again. So it is"


def truth(text: str) -> str:
    """Return the right answer to the question in a text, "unknown" if there is none."""
    if found := re.search(r"What is (\d+) (plus|times) (\d+)\?", text):
        a, b = int(found[1]), int(found[3])
        return str(a + b if found[2] == "plus" else a * b)
    if found := re.search(r"How many letters has '(\w+)'\?", text):
        return str(len(found[1]))
    if found := re.search(r"What is '(\w+)' backwards\?", text):
        return found[1][::-1]
    return "unknown"


def wrong(answer: str, digest: bytes) -> str:
    """Return an answer that is near to the right one."""
    if answer.isdigit():
        return str(int(answer) + 1 + digest[5] % 9)
    return answer[1:] + answer[:1] if len({*answer}) > 1 else answer * 2


def completion(request: dict[str, Any], text: str) -> dict[str, Any]:
    """Return a response as the endpoint has it. A token is a word, and there are at most `max_tokens`."""
    words = text.split()
    most = request.get("max_tokens") or len(words)
    asked = sum(len(message["content"].split()) for message in request["messages"])
    return {
        "object": "chat.completion",
        "model": request["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": " ".join(words[:most])},
                "finish_reason": "length" if len(words) > most else "stop",
            }
        ],
        "usage": {"prompt_tokens": asked, "completion_tokens": min(len(words), most)},
    }


def main() -> int:
    """Serve, for as long as a command runs if one is given."""
    parser = argparse.ArgumentParser(description="A pretended model behind an endpoint as OpenAI has it.")
    parser.add_argument("--port", type=int, default=PORT, help="0 for a free one")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what to run meanwhile; {url} is the endpoint's")
    options = parser.parse_args()
    try:
        server = Server(options.port)
    except OSError as error:
        sys.exit(f"cannot serve on port {options.port}: {error.strerror} (give another to both: --port N, -p url=…)")
    with server:
        if options.command:
            code = run([word.replace("{url}", server.url) for word in options.command], server.key)
        else:
            print(f"serving {server.url} for those with API_KEY={server.key}", file=sys.stderr, flush=True)
            code = serve_until_interrupted()
        print(f"the server counts {json.dumps(server.counters())}", file=sys.stderr)
    return code


def run(command: list[str], key: str) -> int:
    """Run a command with a key, and without a proxy for this machine. Returns its exit code."""
    direct = ",".join(filter(None, (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), "127.0.0.1")))
    environ = {**os.environ, "API_KEY": key, "no_proxy": direct, "NO_PROXY": direct}
    with subprocess.Popen(command, env=environ) as process:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which ends in its own way
        code = process.wait()
    return code if code >= 0 else 128 - code


def serve_until_interrupted() -> int:
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
