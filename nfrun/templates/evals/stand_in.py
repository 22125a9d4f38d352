"""A stand-in for a real endpoint, on this machine: it needs no key and costs nothing.

What it answers follows from a hash of the request, so every run gets the same answers.
The large model errs less, and both err less if they think step by step. Some requests
get 429 the first time, as from a busy endpoint. With a real endpoint, delete this file
and what chat.py has of it.
"""

import hashlib
import json
import re
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

WRONG = {"small": 40, "large": 15}  # of 100 answers
BUSY = 5  # of 100 requests, the first time


class StandIn(ThreadingHTTPServer):
    """Serves on a free port until it is closed."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.calls: Counter[str] = Counter()
        Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return the status and the body of the response to a request."""
        model, text = request["model"], request["messages"][0]["content"]
        if model not in WRONG:
            return 404, {"error": {"message": f"there is no model {model}"}}
        key = f"{model}: {text}"
        busy, wrong = (
            byte * 100 / 256 for byte in hashlib.sha256(key.encode()).digest()[:2]
        )
        self.calls[key] += 1
        if busy < BUSY and self.calls[key] == 1:
            return 429, {"error": {"message": "too many requests"}}
        steps = "step by step" in text
        number = truth(text) + (wrong < WRONG[model] / (3 if steps else 1))
        content = f"First this, then that. It is {number}." if steps else f"{number}"
        tokens = {
            "prompt_tokens": len(text.split()),
            "completion_tokens": len(content.split()),
        }
        return 200, {"choices": [{"message": {"content": content}}], "usage": tokens}

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_POST(self) -> None:
        request = self.rfile.read(int(self.headers["Content-Length"]))
        status, body = self.server.answer(json.loads(request))
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if status == 429:
            self.send_header("Retry-After", "0.1")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Print no line for each request."""


def truth(question: str) -> int:
    """Return the answer to a question such as "What is 2 + 3?"."""
    a, sign, b = re.findall(r"\d+|[+*]", question)[:3]
    return int(a) + int(b) if sign == "+" else int(a) * int(b)
