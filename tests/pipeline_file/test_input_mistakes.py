"""Mistakes in the inputs at the top of a file, and in the files that are given for them: each is told once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nfrun.core.errors import SpecError
from nfrun.pipeline_file.resolve import resolve
from nfrun.session.options import parse_inputs

# Each is what a file has for its inputs, and what is told of it.
MISTAKES = r"""
inputs: [orders]
1:9: 'inputs' must be a mapping, not a list (for example inputs: {orders: data/orders.csv})

inputs: orders
1:9: 'inputs' must be a mapping, not 'orders' (for example inputs: {orders: data/orders.csv})

inputs: {}
1:9: 'inputs' is empty (for example inputs: {orders: data/orders.csv})

inputs: {orders: }
1:10: 'orders' is empty (for example orders: data/orders.csv)

inputs: {orders: 3}
1:18: 'orders' must be a string or a mapping, not 3 (for example orders: data/orders.csv)

inputs: {orders: [o.csv]}
1:18: 'orders' must be a string or a mapping, not a list (for example orders: data/orders.csv)

inputs: {orders: {path: o.csv}}
1:19: 'path' is not a key of 'orders' (did you mean 'read'?)

inputs: {orders: {read: 3}}
1:25: 'read' must be a string, not 3 (put it in quotes)

inputs: {orders: {read: o.csv, inputs: x}}
1:32: 'inputs' is not a key of 'orders' (there is read, with, schema, checks, description, outputs)

inputs: {orders: {read: o.csv, format: csv}}
1:32: 'format' is not a key of 'orders' (there is read, with, schema, checks, description, outputs)

inputs: {orders: {python: 's:f'}}
1:19: 'python' is not a key of 'orders' (there is read, with, schema, checks, description, outputs)

inputs: {orders: o.txt}
1:18: the ending of this file does not tell its format (known are .arrow .feather .ipc .csv .tsv .jsonl .ndjson .parquet .pq; or say with: {format: csv})

inputs: {orders: '${{ params.o }}.csv'}
1:19: 'params' has no 'o' (the file has none)

inputs: {'or ders': o.csv, orders: o.csv}
1:10: 'or ders' cannot be a name in 'inputs' (a name has letters, digits and _, and does not start with a digit)

inputs: {orders: {read: o.csv, with: {colums: [id]}}}
1:39: a read node has no option 'colums' (did you mean 'columns'?)

inputs: {a: o.csv, orders: o.csv}
2:9: there is a node 'a' already (line 1) (rename one)

inputs: {orders: o.csv, Orders: o.csv}
1:25: 'Orders' differs from 'orders' (line 1) only in case (files would clash on some systems: rename one)

inputs: {orders: {read: o.csv, matrix: m}}
1:32: 'matrix' is not a key of 'orders' (there is read, with, schema, checks, description, outputs)

inputs: {orders: none.csv}
1:18: there is no file 'none.csv' (did you mean 'o.csv'?)

inputs: {orders: {}}
1:10: the input 'orders' must be given (--input orders=FILE)
""".strip("\n").split("\n\n")  # noqa: E501


def told(folder: Path, text: str, *given: str) -> str:
    (folder / "o.csv").write_text("id\n1\n")
    (folder / "p.yaml").write_text(f"{text}\nnodes: {{a: {{sql: select * from orders, inputs: orders}}}}\n")
    with pytest.raises(SpecError) as caught:
        resolve(folder / "p.yaml", given={}, params_file=None, environ={}, run_id="r", inputs=parse_inputs([*given]))
    (found,) = caught.value.diagnostics
    return f"{found.span.line}:{found.span.column}: {found.message}{f' ({found.hint})' if found.hint else ''}"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_once(tmp_path: Path, mistake: str) -> None:
    text, expected = mistake.split("\n")
    assert told(tmp_path, text) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("order=o.csv", "0:0: the pipeline has no input 'order' (did you mean 'orders'?)"),
        ("Orders=o.csv", "0:0: the pipeline has no input 'Orders' (did you mean 'orders'?)"),
        ("a=o.csv", "0:0: the pipeline has no input 'a' (its inputs: orders)"),
        ("orders=none.csv", "1:18: there is no file 'none.csv' (did you mean 'o.csv'?)"),
        (
            "orders=none/*.csv",
            "1:18: no file matches 'none/*.csv' (a pattern is relative to the pipeline file; **/ stands for any "
            "folders)",
        ),
        (
            "orders=o.txt",
            "1:18: the ending of this file does not tell its format (known are .arrow .feather .ipc .csv .tsv .jsonl "
            ".ndjson .parquet .pq; or say with: {format: csv})",
        ),
    ],
)
def test_a_file_that_is_given_is_told_as_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert told(tmp_path, "inputs: {orders: {}}", given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("orders", "'orders' is not NAME=VALUE"),
        ("=o.csv", "'=o.csv' is not NAME=VALUE"),
        (" =o.csv", "' =o.csv' is not NAME=VALUE"),
        ("orders=", "the input 'orders' has no file"),
        ("orders= ", "the input 'orders' has no file"),
        ("orders=${{ params.x }}", "'${{ params.x }}' is no name of a file"),
    ],
)
def test_what_is_no_file_is_an_error_of_the_option(given: str, expected: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        parse_inputs([given])
