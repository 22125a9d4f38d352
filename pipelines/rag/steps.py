"""The steps of rag.yaml: passages of pages, and an index of their vectors in a folder.

The index is an inverted file (IVF): k-means finds centers, and each vector is in the list of the center that is most
similar. A search looks at the lists of the centers that are most similar to the question, and not at the others.
Vectors have length 1: a product is a similarity.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Row = dict[str, Any]
Matrix = npt.NDArray[np.float32]

ROUNDS = 20  # of k-means
COMPOSED = {"compound", "specialnames", "types"}  # of other pages


def pages() -> list[Row]:
    """The pages that `help("TOPIC")` shows, of the Python that runs this. Give your own in the same columns."""
    from pydoc_data.topics import topics

    return [{"page": page, "text": text} for page, text in sorted(topics.items()) if page not in COMPOSED]


def passages(page: str, text: str, words: int) -> list[Row]:
    """The passages of a page: `passage` is its id, `heading` the one above it, and `text` begins with that.

    A passage is as many paragraphs below one heading as have at most so many `words` together, or one that has more.
    """
    sections: list[tuple[str, list[str]]] = [(page, [])]  # headings with passages
    size = words
    for paragraph in filter(None, map(str.strip, text.split("\n\n"))):
        first, *rest = paragraph.split("\n")
        length = len(paragraph.split())
        if len(rest) == 1 and len(set(rest[0])) == 1:  # underlined
            sections.append((first, []))
        elif sections[-1][1] and size + length <= words:
            sections[-1][1][-1] += "\n\n" + paragraph
            size += length
        else:
            sections[-1][1].append(paragraph)
            size = length
    found = [(heading, body) for heading, bodies in sections for body in bodies]
    return [
        {"passage": f"{page}:{number}", "heading": heading, "text": f"{heading}\n\n{body}"}
        for number, (heading, body) in enumerate(found)
    ]


def index(vectors: pa.Table, lists: int, seed: int, context: Any) -> Path:
    """A folder with arrays: the `centers` and `ends` of the lists, and the `vectors` by list with their `rows`."""
    matrix = _matrix(vectors)
    drawn = np.random.default_rng(seed).choice(len(matrix), size=min(lists, len(matrix)), replace=False)
    centers = matrix[drawn]
    for _ in range(ROUNDS):
        nearest = np.argmax(matrix @ centers.T, axis=1)
        for each in np.unique(nearest):
            total = matrix[nearest == each].sum(axis=0)
            centers[each] = total / np.linalg.norm(total)
    nearest = np.argmax(matrix @ centers.T, axis=1)
    rows = np.argsort(nearest, kind="stable")
    ends = np.cumsum(np.bincount(nearest, minlength=len(centers)))
    folder: Path = context.output("index")
    folder.mkdir()
    arrays: dict[str, npt.NDArray[Any]] = {"centers": centers, "ends": ends, "vectors": matrix[rows], "rows": rows}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def search(index: Path, vectors: pa.Table, asked: pa.Table, k: int, probes: int) -> pa.Table:
    """The `k` best passages of the `probes` lists that are nearest to each question, and the share `seen` of all."""
    # Mapped: a search reads the lists that it looks at, and not the whole index.
    names = ("centers", "ends", "vectors", "rows")
    centers, ends, sorted_vectors, rows = (np.load(index / f"{name}.npy", mmap_mode="r") for name in names)
    starts = np.concatenate([[0], ends[:-1]])
    found, seen = [], []
    for question in _matrix(asked):
        lists = _best(centers @ question, probes)
        places = np.concatenate([np.arange(starts[each], ends[each]) for each in lists])
        similar = sorted_vectors[places] @ question
        best = _best(similar, k)
        found.append((rows[places[best]], similar[best]))
        seen.append(len(places) / len(rows))
    table = _hits(asked, vectors, found)
    return table.append_column("seen", pa.repeat(float(np.mean(seen)), len(table)))


def exact(vectors: pa.Table, asked: pa.Table, k: int) -> pa.Table:
    """The `k` best passages of all for each question: `rank` from 1 on, with the text to hand to a language model."""
    similar = _matrix(asked) @ _matrix(vectors).T
    return _hits(asked, vectors, [(best := _best(row, k), row[best]) for row in similar])


def _hits(asked: pa.Table, vectors: pa.Table, found: list[tuple[Any, Any]]) -> pa.Table:
    rows = np.concatenate([rows for rows, _ in found])
    counts = [len(rows) for rows, _ in found]
    return pa.table(
        {
            "question": asked["text"].take(np.repeat(np.arange(len(found)), counts)),
            "rank": np.concatenate([np.arange(1, count + 1) for count in counts]),
            "similarity": np.concatenate([similar for _, similar in found]).astype(float).round(4),
            **{name: vectors[name].take(rows) for name in ("passage", "page", "heading", "text")},
        }
    )


def _best(similar: npt.NDArray[Any], count: int) -> npt.NDArray[np.intp]:
    """Where the largest numbers are, the largest first."""
    return np.argsort(-similar, kind="stable")[:count]


def _matrix(table: pa.Table) -> Matrix:
    """The vectors of a table as the rows of a matrix, without a copy."""
    vectors = table["vector"].combine_chunks()
    matrix: Matrix = vectors.flatten().to_numpy().reshape(len(vectors), -1)
    return matrix
