"""The functions that evals.yaml names: they ask models on servers, and compare the answers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa


class BadStatus(Exception):
    """A server refuses to answer. It has the headers of the response, as exceptions of HTTP clients do."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        super().__init__(f"status {status}")
        self.response = type("Response", (), {"headers": headers})


async def answer(question: str, url: str, template: str, context: Any) -> dict[str, str]:
    """Ask a model."""
    return {"answer": await post(url, template.format(question))}


async def post(url: str, text: str) -> str:
    """Post a text, and return the answer. Raises BadStatus, OSError, ValueError."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        body = text.encode()
        writer.write(b"POST / HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    status, *lines = head.decode().splitlines() or ["HTTP/1.0 0"]
    if status.split()[1] != "200":
        raise BadStatus(int(status.split()[1]), dict(line.split(": ", 1) for line in lines))
    found: str = json.loads(body)["answer"]
    return found


def judge(answer: pa.Table) -> pa.Table:
    """Say which answers are right."""
    right = [a == b for a, b in zip(answer["answer"].to_pylist(), answer["expected"].to_pylist(), strict=True)]
    return answer.append_column("right", [right])


def score(answers: pa.Table) -> pa.Table:
    """Return the share of right answers, or of answers at all if nobody has judged them."""
    rights = answers["right"] if "right" in answers.column_names else answers["answer"].is_valid()
    return pa.table({"score": [sum(rights.to_pylist()) / max(1, len(answers))]})


def report(scores: dict[str, pa.Table], context: Any) -> Path:
    """Write a page with a line for each model and prompt."""
    lines = [
        f"<p>{llm} {row['prompt']} {row['score']:.2f}</p>" for llm, table in scores.items() for row in table.to_pylist()
    ]
    page: Path = context.output("report.html")
    page.write_text("\n".join(lines))
    return page
