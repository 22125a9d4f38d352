"""The checks of each kind of node before the run: the exact message, its source span, and that it comes once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nfrun.core.errors import SpecError, render_all
from nfrun.pipeline_file.loader import read_pipeline

STEPS = """\
def load(): ...
def clean(table): ...
def join(left, right, how="inner", *, strict): ...
def pos(a, /, b): ...
def rest(a, **rest): ...
def ctx(table, context): ...
def many(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, bb, cc, dd): ...
def mood(review: str): ...
"""

BASE = ["# a pipeline", "nodes:", "  a: {run: x}", "  s: {run: x, outputs: [early, late]}"]

# Each message shows the line that it is about. The test writes this line into a pipeline file after BASE, at the line
# number shown, and expects the message.
MESSAGES = r"""
p.yaml:5:15: steps.py has no function 'claen'
    5 |   b: {python: steps:claen, inputs: {table: a}}
      |               ^^^^^^^^^^^ did you mean 'clean'?

p.yaml:5:15: there is no module 'stesp'
    5 |   b: {python: stesp:clean, inputs: {table: a}}
      |               ^^^^^^^^^^^ did you mean 'steps'?

p.yaml:5:15: there is no module 'steps.py'
    5 |   b: {python: steps.py:clean, inputs: {table: a}}
      |               ^^^^^^^^^^^^^^ did you mean 'steps'?

p.yaml:5:15: clean() needs 'table', which no input and no 'with' value gives
    5 |   b: {python: steps:clean}
      |               ^^^^^^^^^^^ clean(table) is at steps.py:2

p.yaml:5:15: clean() needs 'table', which no input and no 'with' value gives
    5 |   b: {python: steps:clean, inputs: []}
      |               ^^^^^^^^^^^ clean(table) is at steps.py:2

p.yaml:5:36: clean() has no argument 'a', which is given as an input
    5 |   b: {python: steps:clean, inputs: a}
      |                                    ^ name it: inputs: {table: a}

p.yaml:5:35: mood() has no argument 'a', which is given as an input
    5 |   b: {python: steps:mood, inputs: a}
      |                                   ^ name it: inputs: {review: a}

p.yaml:5:37: clean() has no argument 'late', which is given as an input
    5 |   b: {python: steps:clean, inputs: [s.late]}
      |                                     ^^^^^^ name it: inputs: {table: s.late}

p.yaml:5:37: clean() has no argument 'tabel', which is given as an input
    5 |   b: {python: steps:clean, inputs: {tabel: a}}
      |                                     ^^^^^ did you mean 'table'?

p.yaml:5:37: clean() has no argument 'class', which is given as an input
    5 |   b: {python: steps:clean, inputs: {class: a}}
      |                                     ^^^^^ did you mean 'table'?

p.yaml:5:55: clean() has no argument 'tabel', which is given as a value
    5 |   b: {python: steps:clean, inputs: {table: a}, with: {tabel: 3}}
      |                                                       ^^^^^ clean(table) is at steps.py:2

p.yaml:5:55: clean() has no argument 'month', which is given as a value
    5 |   b: {python: steps:clean, inputs: {table: a}, with: {month: 3}}
      |                                                       ^^^^^ clean(table) is at steps.py:2

p.yaml:5:35: clean() has no argument 'Table', which is given as a value
    5 |   b: {python: steps:clean, with: {Table: 3}}
      |                                   ^^^^^ did you mean 'table'?

p.yaml:5:28: 'input' is not a key of a node
    5 |   b: {python: steps:clean, input: {table: a}}
      |                            ^^^^^ did you mean 'inputs'?

p.yaml:5:28: 'wth' is not a key of a node
    5 |   b: {python: steps:clean, wth: {table: a}}
      |                            ^^^ did you mean 'with'?

p.yaml:5:15: join() needs 'right', 'strict', which no input and no 'with' value gives
    5 |   b: {python: steps:join, inputs: {left: a}}
      |               ^^^^^^^^^^ join(left, right, how, strict) is at steps.py:3

p.yaml:5:36: join() has no argument 'a', which is given as an input
    5 |   b: {python: steps:join, inputs: [a, s.late]}
      |                                    ^ join(left, right, how, strict) is at steps.py:3
p.yaml:5:39: join() has no argument 'late', which is given as an input
    5 |   b: {python: steps:join, inputs: [a, s.late]}
      |                                       ^^^^^^ join(left, right, how, strict) is at steps.py:3

p.yaml:5:36: join() has no argument 'a', which is given as an input
    5 |   b: {python: steps:join, inputs: [a]}
      |                                    ^ join(left, right, how, strict) is at steps.py:3

p.yaml:5:36: join() has no argument 'lfet', which is given as an input
    5 |   b: {python: steps:join, inputs: {lfet: a, rigth: s.late}, with: {strict: 1}}
      |                                    ^^^^ did you mean 'left'?
p.yaml:5:45: join() has no argument 'rigth', which is given as an input
    5 |   b: {python: steps:join, inputs: {lfet: a, rigth: s.late}, with: {strict: 1}}
      |                                             ^^^^^ did you mean 'right'?

p.yaml:5:79: join() has no argument 'hwo', which is given as a value
    5 |   b: {python: steps:join, inputs: {left: a, right: s.late}, with: {strict: 1, hwo: 2}}
      |                                                                               ^^^ did you mean 'how'?

p.yaml:5:53: join() has no argument 'zzz', which is given as a value
    5 |   b: {python: steps:join, inputs: {left: a}, with: {zzz: 1}}
      |                                                     ^^^ join(left, right, how, strict) is at steps.py:3

p.yaml:5:63: join() has no argument 'stric', which is given as a value
    5 |   b: {python: steps:join, inputs: {left: a, right: a}, with: {stric: 1}}
      |                                                               ^^^^^ did you mean 'strict'?

p.yaml:5:15: rest() needs 'a', which no input and no 'with' value gives
    5 |   b: {python: steps:rest, with: {b: 2}}
      |               ^^^^^^^^^^ rest(a) is at steps.py:5

p.yaml:5:35: ctx() has no argument 'tabel', which is given as an input
    5 |   b: {python: steps:ctx, inputs: {tabel: a}}
      |                                   ^^^^^ did you mean 'table'?

p.yaml:5:45: ctx() has no argument 'contxt', which is given as an input
    5 |   b: {python: steps:ctx, inputs: {table: a, contxt: s.late}}
      |                                             ^^^^^^ did you mean 'context'?

p.yaml:5:35: load() has no argument 'a', which is given as an input
    5 |   b: {python: steps:load, inputs: a}
      |                                   ^ load() is at steps.py:1

p.yaml:5:34: many() has no argument 'zz', which is given as a value
    5 |   b: {python: steps:many, with: {zz: 1}}
      |                                  ^^ did you mean 'z'?

p.yaml:5:27: a python node has no 'format'
    5 |   b: {python: steps:load, format: csv}
      |                           ^^^^^^ remove it

p.yaml:5:27: a python node has no 'env'
    5 |   b: {python: steps:load, env: {A: 1}}
      |                           ^^^ put it under 'env' of the file, for all nodes

p.yaml:5:13: the ending of this file does not tell its format
    5 |   b: {read: x.xlsx}
      |             ^^^^^^ known are .arrow .feather .ipc .csv .tsv .jsonl .ndjson .parquet .pq; or say with: {format: csv}

p.yaml:5:13: the ending of this file does not tell its format
    5 |   b: {read: x}
      |             ^ known are .arrow .feather .ipc .csv .tsv .jsonl .ndjson .parquet .pq; or say with: {format: csv}

p.yaml:5:13: the ending of this file does not tell its format
    5 |   b: {read: x.parquet.gz}
      |             ^^^^^^^^^^^^ known are .arrow .feather .ipc .csv .tsv .jsonl .ndjson .parquet .pq; or say with: {format: csv}

p.yaml:5:13: the ending of this file does not tell its format
    5 |   b: {read: 'data/*.dat'}
      |             ^^^^^^^^^^^^ known are .arrow .feather .ipc .csv .tsv .jsonl .ndjson .parquet .pq; or say with: {format: csv}

p.yaml:5:20: a read node has no inputs
    5 |   b: {read: x.csv, inputs: a}
      |                    ^^^^^^ 'needs:' makes it wait for another node

p.yaml:5:20: a read node has one output
    5 |   b: {read: x.csv, outputs: [p, q]}
      |                    ^^^^^^^ leave 'outputs' out

p.yaml:5:20: a read node has no 'format'
    5 |   b: {read: x.csv, format: csv}
      |                    ^^^^^^ remove it

p.yaml:5:20: a read node has no 'env'
    5 |   b: {read: x.csv, env: {A: 1}}
      |                    ^^^ put it under 'env' of the file, for all nodes

p.yaml:5:27: a read node has no option 'sep'
    5 |   b: {read: x.csv, with: {sep: ';'}}
      |                           ^^^ there is format, columns, delimiter, encoding, null_values, header, skip, comment, quote, escape, decimal, thousands, dates, bad_rows, long_fields, filename

p.yaml:5:27: a read node has no option 'delimeter'
    5 |   b: {read: x.csv, with: {delimeter: ';'}}
      |                           ^^^^^^^^^ did you mean 'delimiter'?

p.yaml:5:38: 'delimiter' must be one ASCII character
    5 |   b: {read: x.csv, with: {delimiter: ';;'}}
      |                                      ^^^^ for example delimiter: ';'

p.yaml:5:38: 'delimiter' must be one ASCII character
    5 |   b: {read: x.csv, with: {delimiter: ''}}
      |                                      ^^ for example delimiter: ';'

p.yaml:5:38: 'delimiter' must be one ASCII character
    5 |   b: {read: x.csv, with: {delimiter: 3}}
      |                                      ^ for example delimiter: ';'

p.yaml:5:37: there is no encoding 'latin-77'
    5 |   b: {read: x.csv, with: {encoding: latin-77}}
      |                                     ^^^^^^^^ for example latin-1, cp1252 or utf-16, as Python names them

p.yaml:5:37: there is no encoding 'hex'
    5 |   b: {read: x.csv, with: {encoding: hex}}
      |                                     ^^^ for example latin-1, cp1252 or utf-16, as Python names them

p.yaml:5:37: there is no encoding '1'
    5 |   b: {read: x.csv, with: {encoding: 1}}
      |                                     ^ for example latin-1, cp1252 or utf-16, as Python names them

p.yaml:5:38: 'delimiter' must be one ASCII character
    5 |   b: {read: x.csv, with: {delimiter: "\n"}}
      |                                      ^^^^ for example delimiter: ';'

p.yaml:5:38: 'delimiter' must be one ASCII character
    5 |   b: {read: x.csv, with: {delimiter: '"'}}
      |                                      ^^^ for example delimiter: ';'

p.yaml:5:38: 'delimiter' must be one ASCII character
    5 |   b: {read: x.csv, with: {delimiter: '§'}}
      |                                      ^^^ for example delimiter: ';'

p.yaml:5:36: 'columns' must be a list of strings
    5 |   b: {read: x.csv, with: {columns: a}}
      |                                    ^ for example columns: [a, b]

p.yaml:5:36: 'columns' must be a list of strings
    5 |   b: {read: x.csv, with: {columns: [1]}}
      |                                    ^^^ for example columns: [a, b]

p.yaml:5:40: 'null_values' must be a list of strings
    5 |   b: {read: x.csv, with: {null_values: NA}}
      |                                        ^^ for example null_values: [a, b]

p.yaml:5:35: 'header' must be true or false, or the names of the columns
    5 |   b: {read: x.csv, with: {header: 3}}
      |                                   ^ for example header: false

p.yaml:5:35: the names under 'header' must be different texts
    5 |   b: {read: x.csv, with: {header: [a, a]}}
      |                                   ^^^^^^ for example header: [id, name]

p.yaml:5:33: 'skip' must be the number of lines before the header
    5 |   b: {read: x.csv, with: {skip: '3'}}
      |                                 ^^^ for example skip: 3

p.yaml:5:33: 'skip' must be the number of lines before the header
    5 |   b: {read: x.csv, with: {skip: -1}}
      |                                 ^^ for example skip: 3

p.yaml:5:36: 'comment' must be one ASCII character
    5 |   b: {read: x.csv, with: {comment: '//'}}
      |                                    ^^^^ for example comment: '#'

p.yaml:5:34: 'quote' must be one ASCII character
    5 |   b: {read: x.csv, with: {quote: ä}}
      |                                  ^ for example quote: "'", or quote: '' where no field is quoted

p.yaml:5:34: 'quote' and 'delimiter' are both ','
    5 |   b: {read: x.csv, with: {quote: ','}}
      |                                  ^^^ say which: delimiter: ';'

p.yaml:5:35: 'escape' and 'quote' are both '"'
    5 |   b: {read: x.csv, with: {escape: '"'}}
      |                                   ^^^ say which: quote: "'", or quote: '' where no field is quoted

p.yaml:5:36: 'decimal' and 'delimiter' are both ','
    5 |   b: {read: x.csv, with: {decimal: ','}}
      |                                    ^^^ say which: delimiter: ';'

p.yaml:5:38: 'thousands' and 'decimal' are both '.'
    5 |   b: {read: x.csv, with: {thousands: .}}
      |                                      ^ say which: decimal: ','

p.yaml:5:36: 'decimal' must be one ASCII character
    5 |   b: {read: x.csv, with: {decimal: 1}}
      |                                    ^ for example decimal: ','

p.yaml:5:34: 'dates' must be a format, or a list of formats
    5 |   b: {read: x.csv, with: {dates: []}}
      |                                  ^^ for example dates: '%d.%m.%Y'

p.yaml:5:34: '%Q' is no format of a date with a year
    5 |   b: {read: x.csv, with: {dates: '%Q'}}
      |                                  ^^^^ for example dates: '%d.%m.%Y'; there are %Y %m %d %H %M %S %y %b %z

p.yaml:5:34: 'd.m.Y' is no format of a date with a year
    5 |   b: {read: x.csv, with: {dates: 'd.m.Y'}}
      |                                  ^^^^^^^ for example dates: '%d.%m.%Y'; there are %Y %m %d %H %M %S %y %b %z

p.yaml:5:34: '%' is no format of a date with a year
    5 |   b: {read: x.csv, with: {dates: '%'}}
      |                                  ^^^ for example dates: '%d.%m.%Y'; there are %Y %m %d %H %M %S %y %b %z

p.yaml:5:34: '%d.%m' is no format of a date with a year
    5 |   b: {read: x.csv, with: {dates: '%d.%m'}}
      |                                  ^^^^^^^ for example dates: '%d.%m.%Y'; there are %Y %m %d %H %M %S %y %b %z

p.yaml:5:37: 'bad_rows' must be one of fail, skip, aside
    5 |   b: {read: x.csv, with: {bad_rows: keep}}
      |                                     ^^^^ aside collects them in the output 'rejected'

p.yaml:5:40: 'long_fields' must be true or false
    5 |   b: {read: x.csv, with: {long_fields: 3}}
      |                                        ^ for example long_fields: true

p.yaml:5:40: 'null_values' must be a list of strings
    5 |   b: {read: x.csv, with: {null_values: ['a', 3]}}
      |                                        ^^^^^^^^ for example null_values: [a, b]

p.yaml:5:27: 'skip' is for csv, and this file is text
    5 |   b: {read: x.csv, with: {skip: 1, format: text}}
      |                           ^^^^ remove it

p.yaml:5:36: 'comment' and 'delimiter' are both '\t'
    5 |   b: {read: x.tsv, with: {comment: "\t"}}
      |                                    ^^^^ say which: delimiter: ';'

p.yaml:5:45: 'rejected' is the output with the rows that are put aside
    5 |   b: {read: x.csv, with: {bad_rows: aside}, outputs: [rejected]}
      |                                             ^^^^^^^ rename yours

p.yaml:5:45: a read node has one output
    5 |   b: {read: x.csv, with: {bad_rows: aside}, outputs: [a, b]}
      |                                             ^^^^^^^ leave 'outputs' out

p.yaml:5:37: an expression is not evaluated here: which outputs a node has is the same in every run
    5 |   b: {read: x.csv, with: {bad_rows: "${{ run.id }}"}}
      |                                     ^^^^^^^^^^^^^^^ one of fail, skip, aside

p.yaml:5:31: 'delimiter' is for csv, and this file is parquet
    5 |   b: {read: x.parquet, with: {delimiter: ';'}}
      |                               ^^^^^^^^^ remove it

p.yaml:5:29: 'null_values' is for csv, and this file is jsonl
    5 |   b: {read: x.jsonl, with: {null_values: [NA]}}
      |                             ^^^^^^^^^^^ remove it

p.yaml:5:35: 'format' must be one of arrow, csv, jsonl, parquet, text, bytes, files
    5 |   b: {read: x.txt, with: {format: xls}}
      |                                   ^^^

p.yaml:5:42: 'delimiter' is for csv, and this file is jsonl
    5 |   b: {read: x.csv, with: {format: jsonl, delimiter: ';'}}
      |                                          ^^^^^^^^^ remove it

p.yaml:5:7: a write node has exactly one input; this one has 0
    5 |   b: {write: x.csv}
      |       ^^^^^ name it with 'inputs'

p.yaml:5:7: a write node has exactly one input; this one has 0
    5 |   b: {write: x.csv, inputs: []}
      |       ^^^^^ name it with 'inputs'

p.yaml:5:21: a write node has exactly one input; this one has 2
    5 |   b: {write: x.csv, inputs: [a, s.late]}
      |                     ^^^^^^ write each with a node of its own

p.yaml:5:14: the ending of this file does not tell its format
    5 |   b: {write: x.xlsx, inputs: a}
      |              ^^^^^^ known are .arrow .feather .ipc .csv .tsv .jsonl .ndjson .parquet .pq

p.yaml:5:14: a write node cannot write to a URI
    5 |   b: {write: s3://b/x.csv, inputs: a}
      |              ^^^^^^^^^^^^ write to a path, and let a 'run' node copy it

p.yaml:5:39: 'mode' is for a folder, and this is the path of a file
    5 |   b: {write: x.csv, inputs: a, with: {mode: append}}
      |                                       ^^^^ write: x/

p.yaml:5:39: 'format' is for a folder, and this is the path of a file
    5 |   b: {write: x.csv, inputs: a, with: {format: csv}}
      |                                       ^^^^^^ write: x/

p.yaml:5:36: a write node has no 'partitions'
    5 |   b: {write: o/, inputs: a, with: {partitions: [n]}}
      |                                    ^^^^^^^^^^ did you mean 'partition'?

p.yaml:5:36: a write node has no 'compression'
    5 |   b: {write: o/, inputs: a, with: {compression: zstd}}
      |                                    ^^^^^^^^^^^ there is format, mode, partition, replace

p.yaml:5:42: 'mode' must be replace or partitions, not 'append'
    5 |   b: {write: o/, inputs: a, with: {mode: append}}
      |                                          ^^^^^^

p.yaml:5:42: 'mode' must be replace or partitions, not 'upsert'
    5 |   b: {write: o/, inputs: a, with: {mode: upsert}}
      |                                          ^^^^^^

p.yaml:5:42: 'mode' must be replace or partitions, not 'partition'
    5 |   b: {write: o/, inputs: a, with: {mode: partition}}
      |                                          ^^^^^^^^^ did you mean 'partitions'?

p.yaml:5:42: 'mode: partitions' replaces some of the partitions, and there is no 'partition'
    5 |   b: {write: o/, inputs: a, with: {mode: partitions}}
      |                                          ^^^^^^^^^^ name the columns: partition: [country]

p.yaml:5:44: 'format' must be arrow, csv, jsonl or parquet, not 'parqet'
    5 |   b: {write: o/, inputs: a, with: {format: parqet}}
      |                                            ^^^^^^ did you mean 'parquet'?

p.yaml:5:48: an item of 'partition' must be a string, not 1
    5 |   b: {write: o/, inputs: a, with: {partition: [1]}}
      |                                                ^

p.yaml:5:47: 'partition' is empty
    5 |   b: {write: o/, inputs: a, with: {partition: []}}
      |                                               ^^ a column, or a list of columns, such as [country]

p.yaml:5:51: 'partition' has 'n' twice
    5 |   b: {write: o/, inputs: a, with: {partition: [n, n]}}
      |                                                   ^

p.yaml:5:64: 'replace' must be a string or a list, not a mapping
    5 |   b: {write: o/, inputs: a, with: {partition: [d, c], replace: {d: 1}, mode: partitions}}
      |                                                                ^^^^^^ a column, or a list of columns, such as [country]

p.yaml:5:64: 'replace' is empty
    5 |   b: {write: o/, inputs: a, with: {partition: [d, c], replace: [], mode: partitions}}
      |                                                                ^^ a column, or a list of columns, such as [country]

p.yaml:5:68: 'replace' has 'd' twice
    5 |   b: {write: o/, inputs: a, with: {partition: [d, c], replace: [d, d], mode: partitions}}
      |                                                                    ^

p.yaml:5:55: 'replace' says what 'mode: partitions' replaces, and this node replaces the whole folder
    5 |   b: {write: o/, inputs: a, with: {partition: [d, c], replace: [d]}}
      |                                                       ^^^^^^^ write mode: partitions, or remove it

p.yaml:5:66: 'replace' must have the first columns of 'partition', in their order
    5 |   b: {write: o/, inputs: a, with: {partition: [day, c], replace: [dya], mode: partitions}}
      |                                                                  ^^^^^ these are day, c

p.yaml:5:67: 'replace' must have the first columns of 'partition', in their order
    5 |   b: {write: o/, inputs: a, with: {partition: [c, d, e], replace: [d], mode: partitions}}
      |                                                                   ^^^ these are c, d, e

p.yaml:5:64: 'replace' must have the first columns of 'partition', in their order
    5 |   b: {write: o/, inputs: a, with: {partition: [c, d], replace: [d, c], mode: partitions}}
      |                                                                ^^^^^^ these are c, d

p.yaml:5:39: 'replace' is for a folder, and this is the path of a file
    5 |   b: {write: x.csv, inputs: a, with: {replace: [d]}}
      |                                       ^^^^^^^ write: x/

p.yaml:5:36: 'replace' says what 'mode: partitions' replaces, and this node replaces the whole folder
    5 |   b: {write: o/, inputs: a, with: {replace: d}}
      |                                    ^^^^^^^ write mode: partitions, or remove it

p.yaml:5:42: 'mode: partitions' replaces some of the partitions, and there is no 'partition'
    5 |   b: {write: o/, inputs: a, with: {mode: partitions, replace: [d]}}
      |                                          ^^^^^^^^^^ name the columns: partition: [country]

p.yaml:5:32: a write node has one output
    5 |   b: {write: x.csv, inputs: a, outputs: [p, q]}
      |                                ^^^^^^^ leave 'outputs' out: it is a row with path, rows and bytes

p.yaml:5:32: a write node has no 'format'
    5 |   b: {write: x.csv, inputs: a, format: csv}
      |                                ^^^^^^ remove it

p.yaml:5:22: a sql node has one output
    5 |   b: {sql: select 1, outputs: [p, q]}
      |                      ^^^^^^^ leave 'outputs' out

p.yaml:5:37: 'T' and 't' are one table to SQL, which ignores case
    5 |   b: {sql: select 1, inputs: {t: a, T: s.late}}
      |                                     ^ rename one

p.yaml:5:22: a sql node has no 'format'
    5 |   b: {sql: select 1, format: csv}
      |                      ^^^^^^ remove it

p.yaml:5:22: a sql node has no 'env'
    5 |   b: {sql: select 1, env: {A: 1}}
      |                      ^^^ put it under 'env' of the file, for all nodes
"""  # noqa: E501


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("steps.py").write_text(STEPS)


def diagnostics_of(*nodes: str) -> str:
    """The rendered diagnostics of these nodes after BASE; "" if there are none."""
    Path("p.yaml").write_text("\n".join([*BASE, *nodes]) + "\n", encoding="utf-8")
    try:
        read_pipeline("p.yaml")
    except SpecError as error:
        return render_all(error.diagnostics)
    return ""


@pytest.mark.parametrize("message", MESSAGES.strip("\n").split("\n\n"))
def test_message(message: str) -> None:
    lines = dict(re.findall(r"^ +([0-9]+) \| (.*)$", message, re.MULTILINE))
    assert diagnostics_of(*lines.values()) == message


@pytest.mark.parametrize(
    "node",
    [
        "{python: steps:load}",
        "{python: steps:clean, inputs: {table: a}}",
        "{python: steps:clean, with: {table: [1]}}",
        "{python: steps:join, inputs: {left: a, right: s.late}, with: {strict: 1, how: x}}",
        "{python: steps:rest, inputs: a, with: {b: 1, class: 2}}",
        "{python: steps:ctx, inputs: {table: a}}",
        "{python: steps:ctx, inputs: {table: a}, with: {context: 1}}",
        "{python: steps:load, outputs: [p, q], needs: a, retries: 1, timeout: 1s, resources: {cpu: 2}}",
        "{read: 'data/**/x-*.CSV.gz', with: {columns: [p], null_values: ['', NA], delimiter: '|'}}",
        "{read: 'data/*'}",
        '{read: x.csv, with: {delimiter: "\\t"}}',
        "{read: x.csv, with: {header: [p, q], skip: 3, comment: '#', quote: '', escape: '\\', long_fields: true}}",
        "{read: x.csv, with: {decimal: ',', delimiter: ',', thousands: '.', dates: ['%d.%m.%Y'], header: false}}",
        "{read: x.csv, with: {bad_rows: aside}}",
        "{read: x.csv, with: {bad_rows: aside}, outputs: [rows]}",
        "{read: https://h/x.parquet?v=1, needs: a}",
        "{read: '${{ env.FILE }}', with: {columns: '${{ env.C }}', delimiter: ';'}}",
        "{read: x.tsv, outputs: [table]}",
        "{write: ../out/x.jsonl.zst, inputs: s.late}",
        "{write: '${{ env.FILE }}', inputs: {t: a}, outputs: [row]}",
        "{write: o/, inputs: a, with: {partition: [d, c], mode: partitions, replace: [d]}}",
        "{write: o/, inputs: a, with: {partition: d, mode: partitions, replace: d}}",
        "{write: o/, inputs: a, with: {partition: '${{ env.P }}', mode: partitions, replace: [d]}}",
        "{write: o/, inputs: a, with: {partition: [c, d], mode: '${{ env.M }}', replace: ['${{ env.P }}']}}",
        "{write: o/, inputs: a, with: {partition: [c, d], mode: partitions}}",  # a warning, of `validate`
        "{sql: 'select 1; select 2', inputs: {t: a, u: s.late}, with: {v: 1}, outputs: [p]}",
        "{run: exit 1, inputs: {class: a}, with: {if: 1}, format: csv, env: {A: 1}}",
    ],
)
def test_a_valid_node_gives_no_diagnostics(node: str) -> None:
    assert diagnostics_of(f"  b: {node}") == ""


def test_a_module_that_cannot_be_read_is_reported_once() -> None:
    Path("broken.py").write_text("def f(:\n")
    nodes = [f"  n{i}: {{python: 'broken:f{i}', inputs: {{table: a}}}}" for i in range(9)]
    message = diagnostics_of(*nodes)
    assert message.startswith("p.yaml:5:16: broken.py:1:7: ")
    assert message.endswith("^^^^^^^^^^^ the module 'broken' cannot be read")
    assert message.count("p.yaml:") == 1


def test_user_modules_are_not_imported() -> None:
    Path("pkg").mkdir()
    trap = "open('imported', 'w').close()\nraise RuntimeError\n"
    Path("pkg/__init__.py").write_text(trap)
    Path("pkg/steps.py").write_text(trap + "def f(table): ...\n")
    Path("trap.py").write_text(trap + "def f(table): ...\n")
    assert (
        diagnostics_of("  b: {python: trap:f, inputs: {table: a}}", "  c: {python: pkg.steps:f, inputs: {table: a}}")
        == ""
    )
    assert "has no argument" in diagnostics_of("  b: {python: 'pkg.steps:f', inputs: {table: a, t: a}}")
    assert not Path("imported").exists()


def test_two_nodes_that_write_one_file() -> None:
    message = diagnostics_of("  b: {write: out/x.csv, inputs: a}", "  c: {write: ./out//x.csv, inputs: a}")
    assert message == "\n".join(
        [
            "p.yaml:6:14: node 'b' (p.yaml:5:14) writes this file too",
            "    6 |   c: {write: ./out//x.csv, inputs: a}",
            "      |              ^^^^^^^^^^^^ './out//x.csv' and 'out/x.csv' are one file: rename one",
        ]
    )
    assert "writes this file too" in diagnostics_of(
        "  b: {write: '${{ env.F }}', inputs: a}", "  c: {write: '${{ env.F }}', inputs: a}"
    )
    assert diagnostics_of("  b: {write: '${{ env.F }}', inputs: a}", "  c: {write: '${{ env.G }}', inputs: a}") == ""
