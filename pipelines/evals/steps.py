"""The steps of evals.yaml behind the answers: which are right, how good and dear each model and prompt is, a page."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import Any

import pyarrow as pa

Row = dict[str, Any]


def graded(answers: pa.Table) -> pa.Table:
    """The answers with `is_right`. Put your own grading here: a parser, a function that runs code, another model."""
    pairs = zip(answers["answer"].to_pylist(), answers["expected"].to_pylist(), strict=True)
    return answers.append_column("is_right", pa.array([_result(answer) == _result(right) for answer, right in pairs]))


def scores(graded: pa.Table, errors: pa.Table, models: pa.Table) -> list[Row]:
    """A row for each model and prompt, the best first. A question without an answer counts as one that is not right."""
    cells: dict[tuple[str, str], list[Row]] = {}
    for row in graded.to_pylist():
        cells.setdefault((row["model"], row["prompt"]), []).append(row)
    failed = Counter(zip(errors["model"].to_pylist(), errors["prompt"].to_pylist(), strict=True))
    prices = {row["id"]: row for row in models.to_pylist()}
    found = [_score(cell, rows, failed[cell], prices[cell[0]]) for cell, rows in cells.items()]
    return sorted(found, key=lambda row: (-row["accuracy"], row["dollars"]))


def best(scores: pa.Table) -> pa.Table:
    """The best model and prompt."""
    return scores.slice(0, 1)


def report(scores: pa.Table, errors: pa.Table) -> bytes:
    """A page in Markdown: a line for each model and prompt, and the questions that have no answer."""
    asked = sum(scores["questions"].to_pylist())
    lines = [
        "# Which model, with which prompt?",
        "",
        "| model | prompt | right | failed | dollars | seconds |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {row['model']} | {row['prompt']} | {100 * row['accuracy']:.0f} % | {row['failed']} "
            f"| {row['dollars']:.4f} | {row['seconds']:.2f} |"
            for row in scores.to_pylist()
        ),
        "",
        f"{len(errors)} of {asked} questions have no answer{':' if len(errors) else '.'}",
        "",
        *(
            f"- {row['model']}, {row['prompt']}: {row['question']} {row['error']}, {row['attempts']} attempts"
            for row in errors.to_pylist()
        ),
    ]
    return ("\n".join(lines).rstrip() + "\n").encode()


def _score(cell: tuple[str, str], rows: list[Row], failed: int, price: Row) -> Row:
    tokens_in, tokens_out = (sum(row[name] for row in rows) for name in ("tokens_in", "tokens_out"))
    return {
        "model": cell[0],
        "prompt": cell[1],
        "questions": len(rows) + failed,
        "failed": failed,
        "cut": sum(row["finish"] == "length" for row in rows),
        "accuracy": sum(row["is_right"] for row in rows) / (len(rows) + failed),
        "tokens_in": tokens_in,
        "tokens_out": tokens_out,
        "dollars": round((tokens_in * price["dollars_in"] + tokens_out * price["dollars_out"]) / 1e6, 6),
        "seconds": round(median(row["seconds"] for row in rows), 3),
    }


def _result(answer: str | None) -> str:
    """The last word of an answer, without marks around it."""
    return (answer or "").strip().rpartition(" ")[2].strip(".,!:*'\"`\n").lower()
