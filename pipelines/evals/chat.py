"""Asks a model over HTTP, as OpenAI has made usual, with nothing but the standard library."""

from __future__ import annotations

import asyncio
import io
import json
import os
import time
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import nfrun


async def ask(question: str, url: str, model: str, template: str, max_tokens: int) -> dict[str, Any]:
    """Return the answer to a question, with what it took. `url` is that of the endpoint, up to `/v1`.

    Raises nfrun.Retry if the endpoint asks to wait, nfrun.NoRetry if it refuses, and RuntimeError, ValueError or
    OSError for what else goes wrong.
    """
    messages = [{"role": "user", "content": template.format(question=question)}]
    request = {"model": model, "messages": messages, "max_tokens": max_tokens, "temperature": 0}
    began = time.perf_counter()
    status, headers, body = await post(f"{url}/chat/completions", json.dumps(request).encode())
    seconds = time.perf_counter() - began
    if status in (429, 503) and "Retry-After" in headers:
        raise nfrun.Retry(f"status {status}", after=float(headers["Retry-After"]))
    told = f"status {status}: {body[:200].decode(errors='replace')}"
    if 400 <= status < 500 and status != 429:  # with a wrong key or model, no question has an answer
        raise nfrun.NoRetry(told, every_row=status in (401, 403, 404))
    if status != 200:
        raise RuntimeError(told)
    try:
        found = json.loads(body)
        (choice,), usage = found["choices"], found["usage"]
        return {
            "answer": choice["message"]["content"],
            "finish": choice["finish_reason"],
            "tokens_in": usage["prompt_tokens"],
            "tokens_out": usage["completion_tokens"],
            "seconds": round(seconds, 4),
        }
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"no chat completion: {body[:200].decode(errors='replace')}") from None


async def post(url: str, body: bytes) -> tuple[int, Any, bytes]:
    """Post JSON, and return the status, the headers and the body of the response."""
    where = urlsplit(url)
    is_https = where.scheme == "https"
    lines = [
        f"POST {where.path} HTTP/1.1",
        f"Host: {where.netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *([f"Authorization: Bearer {key}"] if (key := os.environ.get("API_KEY")) else []),
    ]
    reader, writer = await asyncio.open_connection(
        where.hostname, where.port or (443 if is_https else 80), ssl=is_https or None
    )
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        received = await reader.read()
    finally:
        writer.close()
    response = HTTPResponse(_Received(received))  # type: ignore[arg-type]
    response.begin()
    return response.status, response.headers, response.read()


class _Received:
    """Takes the place of the socket that `http.client` reads a response from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)
