"""The steps of triage.yaml that look at all letters together. Vectors have length 1: a product is a similarity."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Row = dict[str, Any]
Matrix = npt.NDArray[np.float32]

ROUNDS = 50  # of k-means, which settles long before


def copies(vectors: pa.Table, alike: float) -> pa.Table:
    """The `first` letter of which each `id` is a copy: itself, or the earliest that is alike.

    Letters are alike if their vectors are at least `alike` similar, and they share as many of their runs of 3 letters.
    The vectors find what means the same, so that few texts are compared; the runs tell a copy from a similar case.
    """
    matrix, runs = _matrix(vectors), [_runs(text) for text in vectors["text"].to_pylist()]
    first: list[int] = []
    for row in range(len(matrix)):
        near = np.flatnonzero(matrix[:row] @ matrix[row] >= alike)
        same = (first[other] for other in near if len(runs[row] & runs[other]) >= alike * len(runs[row] | runs[other]))
        first.append(next(same, row))  # a copy of a copy is one of the first letter
    return pa.table({"id": vectors["id"], "first": vectors["id"].take(first)})


def topics(vectors: pa.Table, count: int) -> pa.Table:
    """The `topic` of each `id`: its cluster by k-means, told by the `id` of its most typical letter."""
    matrix = _matrix(vectors)
    centers = _spread(matrix, min(count, len(matrix)))
    nearest = np.argmax(matrix @ centers.T, axis=1)
    for _ in range(ROUNDS):
        sums = np.stack([matrix[nearest == topic].sum(axis=0) for topic in range(len(centers))])
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centers = np.where(lengths > 0, sums / np.maximum(lengths, 1e-9), centers)  # one without letters stays
        before, nearest = nearest, np.argmax(matrix @ centers.T, axis=1)
        if np.array_equal(before, nearest):
            break
    similar = matrix @ centers.T
    typical = [np.argmax(np.where(nearest == topic, similar[:, topic], -2)) for topic in range(len(centers))]
    return pa.table({"id": vectors["id"], "topic": vectors["id"].take(np.array(typical)[nearest])})


def routes(vectors: pa.Table, team_vectors: pa.Table) -> pa.Table:
    """The `team` of each `id`: the one with the most similar example, and `similarity`, how similar it is."""
    similar = _matrix(vectors) @ _matrix(team_vectors).T
    best = similar.argmax(axis=1)
    return pa.table(
        {
            "id": vectors["id"],
            "team": team_vectors["team"].take(best),
            "similarity": similar.max(axis=1).astype(float).round(3),
        }
    )


def report(tickets: pa.Table, quality: pa.Table) -> bytes:
    """A page in Markdown: the queues, the topics, the most urgent letters, and how good all this is."""
    rows = tickets.to_pylist()
    text = {row["id"]: row["text"] for row in rows}
    opened = [row for row in rows if row["copy_of"] is None]
    urgent = sorted((row for row in opened if row["urgent"]), key=lambda row: (row["sentiment"], row["id"]))
    lines = [
        "# Letters of today",
        "",
        f"{len(rows)} letters, {len(rows) - len(opened)} of them copies. {len(urgent)} are urgent.",
        *_section("Queues", ["queue", "letters", "urgent"], _counts(opened, "queue")),
        *_section("Topics", ["typical letter", "letters", "urgent"],
                  [[text[topic], *counts] for topic, *counts in _counts(opened, "topic") if topic is not None]),
        *_section("Most urgent", ["letter", "queue", "sentiment", "text"],
                  [[row["id"], row["queue"], row["sentiment"], row["text"]] for row in urgent[:10]]),
        *_section("Quality", ["measure", "share"],
                  [[name.replace("_", " "), f"{100 * share:.1f} %"] for name, share in quality.to_pylist()[0].items()]),
    ]  # fmt: skip
    return ("\n".join(lines) + "\n").encode()


def _matrix(table: pa.Table) -> Matrix:
    """The vectors of a table as the rows of a matrix, without a copy."""
    vectors = table["vector"].combine_chunks()
    matrix: Matrix = vectors.flatten().to_numpy().reshape(len(vectors), -1)
    return matrix


def _runs(text: str) -> set[str]:
    plain = "".join(filter(str.isalnum, text.lower()))
    return {plain[at : at + 3] for at in range(max(1, len(plain) - 2))}


def _spread(matrix: Matrix, count: int) -> Matrix:
    """Rows that are far from each other: each next one is the least similar to those before. No chance is in it."""
    chosen = [int(np.argmax(matrix @ matrix.mean(axis=0)))]
    nearest = matrix @ matrix[chosen[0]]
    while len(chosen) < count:
        chosen.append(int(np.argmin(nearest)))
        nearest = np.maximum(nearest, matrix @ matrix[chosen[-1]])
    return matrix[chosen]


def _counts(rows: list[Row], name: str) -> list[list[Any]]:
    """Each value of a column with its letters and its urgent letters, the most frequent first."""
    found: dict[Any, list[int]] = {}
    for row in rows:
        count = found.setdefault(row[name], [0, 0])
        count[0] += 1
        count[1] += row["urgent"]
    return [[value, *count] for value, count in sorted(found.items(), key=lambda item: (-item[1][0], str(item[0])))]


def _section(title: str, columns: list[str], rows: list[list[Any]]) -> list[str]:
    cells = [columns, ["---"] * len(columns), *rows]
    return ["", f"## {title}", "", *("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in cells)]


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
