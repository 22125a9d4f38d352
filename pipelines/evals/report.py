"""Writes the page that people read."""

from __future__ import annotations

import pyarrow as pa


def report(scores: pa.Table, failures: pa.Table) -> bytes:
    """A page in Markdown: a line for each model and prompt, the best first, and what went wrong."""
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
        f"{len(failures)} of {sum(scores['questions'].to_pylist())} questions have no answer.",
        *(
            f"- {row['model']}, {row['prompt']}: {row['question']} {row['error']}, {row['attempts']} attempts"
            for row in failures.to_pylist()
        ),
    ]
    return ("\n".join(lines) + "\n").encode()
