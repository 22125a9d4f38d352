"""Mistakes in a matrix, in what nodes read along its axes, and in tags: each has one message, at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.core.errors import SpecError, render_all
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.pipeline_file.resolve import resolve

FILES = {
    "gaps.csv": "id,v\n1,1\n2,\n",
    **{"data/A_1.csv": "x\n1\n", "s.csv": "id,x\na,1\na,2\n", "t.csv": "name,x\na,1\n", "empty.csv": "id,x\n"},
    **{"t.txt": "id\n", "twice.csv": "id,id\na,b\n", "half.csv": "id\n0.5\n"},
    **{"sub/a/x.csv": "n\n", "sub/b/x.csv": "n\n"},
}
# Each is a file and what is told of it.
MISTAKES = r"""
matrix: {v: }
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:10: 'v' is empty
    1 | matrix: {v: }
      |          ^ for example v: [0, 1, 2]

matrix: {v: []}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:13: 'v' is empty
    1 | matrix: {v: []}
      |             ^^ for example v: [0, 1, 2]

matrix: {v: [[1]]}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:14: an item of 'v' must be a string, a number, true or false or a mapping, not a list
    1 | matrix: {v: [[1]]}
      |              ^^^ write a string, a number, true, false, or {id: a, …}

matrix: {v: [null]}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:14: an item of 'v' is empty
    1 | matrix: {v: [null]}
      |              ^^^^ write a string, a number, true, false, or {id: a, …}

matrix: {v: 3}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:13: 'v' must be a list, a string or a mapping, not 3
    1 | matrix: {v: 3}
      |             ^ for example v: [0, 1, 2]

matrix: {v: abc}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:13: the axis 'v' must be a list of values
    1 | matrix: {v: abc}
      |             ^^^ write v: [abc]

matrix: {v: {}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:13: 'v' is empty
    1 | matrix: {v: {}}
      |             ^^ for example v: [0, 1, 2]

matrix: {v: {file: x}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:14: 'file' is not a key of 'v'
    1 | matrix: {v: {file: x}}
      |              ^^^^ did you mean 'files'?

matrix: {v: {files: a, rows: b}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:13: the axis 'v' has files and rows
    1 | matrix: {v: {files: a, rows: b}}
      |             ^^^^^^^^^^^^^^^^^^^ give it a list, or one of files, rows, of

matrix: {v: {of: w}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:18: there is no axis 'w' above this one
    1 | matrix: {v: {of: w}}
      |                  ^ it follows from an axis that is declared before it

matrix: {v: {files: 'data/{a'}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:21: this pattern has a brace that is not closed, or a name that cannot be
    1 | matrix: {v: {files: 'data/{a'}}
      |                     ^^^^^^^^^ write {name}, with letters, digits and _, but none of id, path, name, stem

matrix: {v: {files: 'data/{id}'}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:21: this pattern has a brace that is not closed, or a name that cannot be
    1 | matrix: {v: {files: 'data/{id}'}}
      |                     ^^^^^^^^^^^ write {name}, with letters, digits and _, but none of id, path, name, stem

matrix: {v: {files: 'data/{a-b}'}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:21: this pattern has a brace that is not closed, or a name that cannot be
    1 | matrix: {v: {files: 'data/{a-b}'}}
      |                     ^^^^^^^^^^^^ write {name}, with letters, digits and _, but none of id, path, name, stem

matrix: {v: {files: 'data/*.tsv'}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:21: no file matches 'data/*.tsv'
    1 | matrix: {v: {files: 'data/*.tsv'}}
      |                     ^^^^^^^^^^^^ a pattern is relative to the pipeline file

matrix: {v: {rows: s.csv}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:20: the values 'a' and 'a' of the axis 'v' have one id
    1 | matrix: {v: {rows: s.csv}}
      |                    ^^^^^ remove one, or give it an id that differs in more than case: {id: …, …}

matrix: {v: {rows: t.csv}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:20: 't.csv' has no column 'id'
    1 | matrix: {v: {rows: t.csv}}
      |                    ^^^^^ it has name, x; say which: id: …

matrix: {v: {rows: t.csv, id: nam}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:31: 't.csv' has no column 'nam'
    1 | matrix: {v: {rows: t.csv, id: nam}}
      |                               ^^^ it has name, x; say which: id: …

matrix: {v: {rows: empty.csv}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:20: the axis 'v' has no values: 'empty.csv' has no rows, or 'id' twice
    1 | matrix: {v: {rows: empty.csv}}
      |                    ^^^^^^^^^

matrix: {v: {files: x, id: y}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:24: 'id' names a column of 'rows'
    1 | matrix: {v: {files: x, id: y}}
      |                        ^^ remove it

matrix: {v: [{id: ''}]}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:19: 'id' is empty
    1 | matrix: {v: [{id: ''}]}
      |                   ^^ for example id: a

matrix: {v: [{id: true}]}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:19: 'id' must be a string or a whole number, not true
    1 | matrix: {v: [{id: true}]}
      |                   ^^^^ for example id: a

matrix: {v: [{id: [1]}]}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:19: 'id' must be a string or a whole number, not a list
    1 | matrix: {v: [{id: [1]}]}
      |                   ^^^ for example id: a

matrix: {v: [a, A]}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:17: the values 'a' and 'A' of the axis 'v' have one id
    1 | matrix: {v: [a, A]}
      |                 ^ remove one, or give it an id that differs in more than case: {id: …, …}

matrix: {v: ['${{ params.q }}']}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:15: 'params' has no 'q'
    1 | matrix: {v: ['${{ params.q }}']}
      |               ^^^^^^^^^^^^^^^ the file has none

matrix: {v: "${{ run.id }}"}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:14: 'run' has no 'id'
    1 | matrix: {v: "${{ run.id }}"}
      |              ^^^^^^^^^^^^^ there is name, folder

matrix: {v: "${{ run.name }}"}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:13: the axis 'v' must be a list of values, and this is 'p'
    1 | matrix: {v: "${{ run.name }}"}
      |             ^^^^^^^^^^^^^^^^^

matrix: {v: "${{ 2 * 3 }}"}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:13: the axis 'v' must be a list of values, and this is 6
    1 | matrix: {v: "${{ 2 * 3 }}"}
      |             ^^^^^^^^^^^^^^ 3 | range is [0, 1, 2]

matrix: {v: "${{ 0 | range }}"}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:13: the axis 'v' has no values
    1 | matrix: {v: "${{ 0 | range }}"}
      |             ^^^^^^^^^^^^^^^^^^ its expression gives an empty list

matrix: {v: "${{ 'x' | range }}"}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:14: ''x' | range': 'range' takes a whole number of at most 1,000,000, not 'x'
    1 | matrix: {v: "${{ 'x' | range }}"}
      |              ^^^^^^^^^^^^^^^^^^

matrix: {v: "${{ [1, 2] | dates }}"}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:14: '[1, 2] | dates': 'dates' takes two dates: [first, last] | dates
    1 | matrix: {v: "${{ [1, 2] | dates }}"}
      |              ^^^^^^^^^^^^^^^^^^^^^

matrix: {v: "${{ ['2024-01-01', '2024-13-01'] | dates }}"}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:14: '['2024-01-01', '2024-13-01'] | dates': '2024-13-01' is no date such as 2024-01-31
    1 | matrix: {v: "${{ ['2024-01-01', '2024-13-01'] | dates }}"}
      |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

matrix: {v: "${{ ['2024-01-02', '2024-01-01'] | dates }}"}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:13: the axis 'v' has no values
    1 | matrix: {v: "${{ ['2024-01-02', '2024-01-01'] | dates }}"}
      |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ its expression gives an empty list

matrix: {v: "${{ ['2024-01-02', '2024-01-01'] | dates('year') }}"}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:14: '['2024-01-02', '2024-01-01'] | dates('year')': 'dates' goes by 'day', 'week', 'month' or 'hour', not 'year'
    1 | matrix: {v: "${{ ['2024-01-02', '2024-01-01'] | dates('year') }}"}
      |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

matrix: {v: "${{ 10000000 | range }}"}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:14: '10000000 | range': 'range' takes a whole number of at most 1,000,000, not 10000000
    1 | matrix: {v: "${{ 10000000 | range }}"}
      |              ^^^^^^^^^^^^^^^^^^^^^^^

matrix: {v: [1.5, '1.5']}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:19: the values '1.5' and '1.5' of the axis 'v' have one id
    1 | matrix: {v: [1.5, '1.5']}
      |                   ^^^^^ remove one, or give it an id that differs in more than case: {id: …, …}

matrix: {v: "${{ matrix.x }}"}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:14: there is no 'matrix' here
    1 | matrix: {v: "${{ matrix.x }}"}
      |              ^^^^^^^^^^^^^^^ only a node with 'matrix: AXIS' has it

matrix: {v: [1], exclude: [{v: 1}]}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:2:21: 'a' has no cells
    2 | nodes: {a: {matrix: v, run: x}}
      |                     ^ 'exclude' leaves out all of them

matrix: {v: [1], exclude: [{w: 1}]}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:29: there is no axis 'w'
    1 | matrix: {v: [1], exclude: [{w: 1}]}
      |                             ^ there is v

matrix: {v: [1], exclude: [{v: [1]}]}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:32: a value of the axis 'v' is named by its value or id
    1 | matrix: {v: [1], exclude: [{v: [1]}]}
      |                                ^^^ write v: …

matrix: {v: [1], exclude: {v: 1}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:27: 'exclude' must be a list, not a mapping
    1 | matrix: {v: [1], exclude: {v: 1}}
      |                           ^^^^^^ for example exclude: [{model: knn, fold: 0}]

matrix: {v: [1], exclude: [v]}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:28: an item of 'exclude' must be a mapping, not 'v'
    1 | matrix: {v: [1], exclude: [v]}
      |                            ^ write {axis: value, …}

matrix: {v: [1], exclude: [{}]}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:28: an item of 'exclude' is empty
    1 | matrix: {v: [1], exclude: [{}]}
      |                            ^^ write {axis: value, …}

matrix: {v: [1], exclude: [{v: '${{ run.name }}'}]}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:33: an expression is not evaluated here
    1 | matrix: {v: [1], exclude: [{v: '${{ run.name }}'}]}
      |                                 ^^^^^^^^^^^^^^^ expressions stand in with, env, files, if, timeout, retries, resources, executor, cache, map, read, write

matrix: {v: [1], include: [{v: 1}]}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:18: a matrix has no 'include'
    1 | matrix: {v: [1], include: [{v: 1}]}
      |                  ^^^^^^^ make one axis of mappings

matrix: fold
nodes: {a: {run: x}}
--
p.yaml:1:9: 'matrix' must be a mapping, not 'fold'
    1 | matrix: fold
      |         ^^^^ for example matrix: {fold: [0, 1, 2]}

matrix: [v]
nodes: {a: {run: x}}
--
p.yaml:1:9: 'matrix' must be a mapping, not a list
    1 | matrix: [v]
      |         ^^^ for example matrix: {fold: [0, 1, 2]}

nodes: {a: {run: x, matrix: v}}
--
p.yaml:1:29: there is no axis 'v'
    1 | nodes: {a: {run: x, matrix: v}}
      |                             ^ declare it at the top of the file: matrix: {name: [a, b]}

nodes: {a: {run: x, matrix: 3}}
--
p.yaml:1:29: 'matrix' must be a string, a list or a mapping, not 3
    1 | nodes: {a: {run: x, matrix: 3}}
      |                             ^ for example matrix: fold

nodes: {a: {run: x, matrix: []}}
--
p.yaml:1:29: 'matrix' is empty
    1 | nodes: {a: {run: x, matrix: []}}
      |                             ^^ for example matrix: fold

nodes: {a: {run: x, matrix: 'a b'}}
--
p.yaml:1:29: 'matrix' cannot be 'a b'
    1 | nodes: {a: {run: x, matrix: 'a b'}}
      |                             ^^^^^ write the name of an axis, or [axis, axis]

nodes: {a: {run: x, matrix: '${{ run.name }}'}}
--
p.yaml:1:30: an expression is not evaluated here
    1 | nodes: {a: {run: x, matrix: '${{ run.name }}'}}
      |                              ^^^^^^^^^^^^^^^ expressions stand in with, env, files, if, timeout, retries, resources, executor, cache, map, read, write

nodes: {a: {run: x, matrix: {exclude: [{v: 1}]}}}
--
p.yaml:1:41: there is no axis 'v'
    1 | nodes: {a: {run: x, matrix: {exclude: [{v: 1}]}}}
      |                                         ^ declare it at the top of the file: matrix: {name: [a, b]}

matrx: {v: [1]}
nodes: {a: {run: x, matrix: v}}
--
p.yaml:1:1: 'matrx' is not a key of a pipeline file
    1 | matrx: {v: [1]}
      | ^^^^^ did you mean 'matrix'?

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {matrix: [m, m], run: x}
--
p.yaml:4:19: 'matrix' has 'm' twice
    4 |   b: {matrix: [m, m], run: x}
      |                   ^

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {matrix: [m, z], run: x}
--
p.yaml:4:19: there is no axis 'z'
    4 |   b: {matrix: [m, z], run: x}
      |                   ^ there is m, k

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: [{from: a, gather: concat}]}
--
p.yaml:4:24: an item of 'inputs' must be a string, not a mapping
    4 |   b: {run: x, inputs: [{from: a, gather: concat}]}
      |                        ^^^^^^^^^^^^^^^^^^^^^^^^^ write node, or node.output

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {form: a}}}
--
p.yaml:4:28: 'form' is not a key of 'a'
    4 |   b: {run: x, inputs: {a: {form: a}}}
      |                            ^^^^ did you mean 'from'?

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {}}}
--
p.yaml:4:27: 'a' needs 'from'
    4 |   b: {run: x, inputs: {a: {}}}
      |                           ^^ write node, or node.output

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {from: c, gather: concat}}}
--
p.yaml:4:34: node 'b' reads 'c', which is not defined
    4 |   b: {run: x, inputs: {a: {from: c, gather: concat}}}
      |                                  ^ there is 'a'

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {from: a, gather: list}}}
--
p.yaml:4:45: 'gather' must be concat or dict, not 'list'
    4 |   b: {run: x, inputs: {a: {from: a, gather: list}}}
      |                                             ^^^^

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {from: a, gather: }}}
--
p.yaml:4:37: 'gather' is empty
    4 |   b: {run: x, inputs: {a: {from: a, gather: }}}
      |                                     ^^^^^^

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {from: a, gather: concat, columns: m}}}
--
p.yaml:4:62: 'columns' must be a list, not 'm'
    4 |   b: {run: x, inputs: {a: {from: a, gather: concat, columns: m}}}
      |                                                              ^ for example columns: [fold]

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {from: a, gather: concat, columns: [z]}}}
--
p.yaml:4:63: 'a' has no axis 'z'
    4 |   b: {run: x, inputs: {a: {from: a, gather: concat, columns: [z]}}}
      |                                                               ^ there is m, k

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {from: a, gather: concat, columns: [m, m]}}}
--
p.yaml:4:66: 'columns' has 'm' twice
    4 |   b: {run: x, inputs: {a: {from: a, gather: concat, columns: [m, m]}}}
      |                                                                  ^

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {from: a, gather: concat, columns: [1]}}}
--
p.yaml:4:63: 'a' has no axis '1'
    4 |   b: {run: x, inputs: {a: {from: a, gather: concat, columns: [1]}}}
      |                                                               ^ there is m, k

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {from: a, gather: dict, columns: [m]}}}
--
p.yaml:4:51: only 'gather: concat' has 'columns'
    4 |   b: {run: x, inputs: {a: {from: a, gather: dict, columns: [m]}}}
      |                                                   ^^^^^^^ remove it

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {matrix: [m, k], run: x, inputs: {a: {from: a, columns: [m]}}}
--
p.yaml:4:53: only 'gather: concat' has 'columns'
    4 |   b: {matrix: [m, k], run: x, inputs: {a: {from: a, columns: [m]}}}
      |                                                     ^^^^^^^ remove it

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {matrix: [m, k], run: x, inputs: {a: {from: a, gather: concat}}}
--
p.yaml:4:61: there is nothing to gather: 'a' has no axis that 'b' does not have
    4 |   b: {matrix: [m, k], run: x, inputs: {a: {from: a, gather: concat}}}
      |                                                             ^^^^^^ remove 'gather'

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {from: a, where: {m: 1}}}}
--
p.yaml:4:34: 'a' has the axis 'k', which 'b' does not have
    4 |   b: {run: x, inputs: {a: {from: a, where: {m: 1}}}}
      |                                  ^ gather: {from: a, gather: concat}, or pin: {from: a, where: {m: …, k: …}}

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {from: a, where: {m: 1, k: z}}}}
--
p.yaml:4:54: the axis 'k' has no value 'z'
    4 |   b: {run: x, inputs: {a: {from: a, where: {m: 1, k: z}}}}
      |                                                      ^ there is x, y

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {from: a, where: {m: 3, k: x}}}}
--
p.yaml:4:48: the axis 'm' has no value '3'
    4 |   b: {run: x, inputs: {a: {from: a, where: {m: 3, k: x}}}}
      |                                                ^ there is 1, 2

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {from: a, where: {m: [1], k: x}}}}
--
p.yaml:4:48: several cells of 'a' may be left
    4 |   b: {run: x, inputs: {a: {from: a, where: {m: [1], k: x}}}}
      |                                                ^^^ gather them: {from: a, where: …, gather: concat}

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {from: a, where: {z: 1}, gather: concat}}}
--
p.yaml:4:45: 'a' has no axis 'z'
    4 |   b: {run: x, inputs: {a: {from: a, where: {z: 1}, gather: concat}}}
      |                                             ^ it has m, k

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {from: a, where: {m: []}, gather: concat}}}
--
p.yaml:4:48: no value of 'm' is left
    4 |   b: {run: x, inputs: {a: {from: a, where: {m: []}, gather: concat}}}
      |                                                ^^ name at least one

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {from: a, where: {m: [1, 9]}, gather: concat}}}
--
p.yaml:4:52: the axis 'm' has no value '9'
    4 |   b: {run: x, inputs: {a: {from: a, where: {m: [1, 9]}, gather: concat}}}
      |                                                    ^ there is 1, 2

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {matrix: m, run: x, inputs: {a: {from: a, where: {m: [1]}, gather: concat}}}
--
p.yaml:4:59: each cell of 'b' reads its own 'm', so a list leaves out nothing
    4 |   b: {matrix: m, run: x, inputs: {a: {from: a, where: {m: [1]}, gather: concat}}}
      |                                                           ^^^ pin one value: where: {m: 1}

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {from: a, where: m, gather: concat}}}
--
p.yaml:4:44: 'where' must be a mapping, not 'm'
    4 |   b: {run: x, inputs: {a: {from: a, where: m, gather: concat}}}
      |                                            ^ for example where: {fold: 0}

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {from: a, where: {m: '${{ run.name }}'}, gather: concat}}}
--
p.yaml:4:49: an expression is not evaluated here
    4 |   b: {run: x, inputs: {a: {from: a, where: {m: '${{ run.name }}'}, gather: concat}}}
      |                                                 ^^^^^^^^^^^^^^^ expressions stand in with, env, files, if, timeout, retries, resources, executor, cache, map, read, write

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {from: a, where: {m: {x: 1}}, gather: concat}}}
--
p.yaml:4:48: a value of the axis 'm' is named by its value or id
    4 |   b: {run: x, inputs: {a: {from: a, where: {m: {x: 1}}, gather: concat}}}
      |                                                ^^^^^^ write m: …

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {from: a, gather: concat, axes: [m]}}}
--
p.yaml:4:53: 'axes' is not a key of 'a'
    4 |   b: {run: x, inputs: {a: {from: a, gather: concat, axes: [m]}}}
      |                                                     ^^^^ there is from, where, gather, columns, optional, else

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: [a]}
--
p.yaml:4:24: 'a' has the axes 'm' and 'k', which 'b' does not have
    4 |   b: {run: x, inputs: [a]}
      |                        ^ gather: {from: a, gather: concat}, or pin: {from: a, where: {m: …, k: …}}

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {p: a}}
--
p.yaml:4:27: 'a' has the axes 'm' and 'k', which 'b' does not have
    4 |   b: {run: x, inputs: {p: a}}
      |                           ^ gather: {from: a, gather: concat}, or pin: {from: a, where: {m: …, k: …}}

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, gather: concat}
--
p.yaml:4:15: 'gather' is not a key of a node
    4 |   b: {run: x, gather: concat}
      |               ^^^^^^ it stands in an input: inputs: {name: {from: node, gather: concat}}

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, strategy: {matrix: {m: [1]}}}
--
p.yaml:4:15: 'strategy' is not a key of a node
    4 |   b: {run: x, strategy: {matrix: {m: [1]}}}
      |               ^^^^^^^^ known values make a 'matrix': {fold: [0, 1, 2]}; the rows of an input a 'map'

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, tags: nightly}
--
p.yaml:4:21: 'tags' must be a list, not 'nightly'
    4 |   b: {run: x, tags: nightly}
      |                     ^^^^^^^ for example tags: [nightly]

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, tags: ['a b']}
--
p.yaml:4:22: an item of 'tags' cannot be 'a b'
    4 |   b: {run: x, tags: ['a b']}
      |                      ^^^^^ a tag has letters, digits, _ and -

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, tags: [3]}
--
p.yaml:4:22: an item of 'tags' must be a string, not 3
    4 |   b: {run: x, tags: [3]}
      |                      ^ a tag has letters, digits, _ and -

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, tags: ['${{ run.name }}']}
--
p.yaml:4:23: an expression is not evaluated here
    4 |   b: {run: x, tags: ['${{ run.name }}']}
      |                       ^^^^^^^^^^^^^^^ expressions stand in with, env, files, if, timeout, retries, resources, executor, cache, map, read, write

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, tag: [a]}
--
p.yaml:4:15: 'tag' is not a key of a node
    4 |   b: {run: x, tag: [a]}
      |               ^^^ did you mean 'tags'?

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {matrix: m, run: x, with: {v: '${{ matrix.m.C }}'}}
--
p.yaml:4:37: 'matrix.m.C': there is no 'C'
    4 |   b: {matrix: m, run: x, with: {v: '${{ matrix.m.C }}'}}
      |                                     ^^^^^^^^^^^^^^^^^ for m: 1; what only some values have stands before | default(…)

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {matrix: m, run: x, inputs: {a: {from: a, where: {k: x}, else: a}}}
--
p.yaml:4:69: 'a' has the axis 'k', which 'b' does not have
    4 |   b: {matrix: m, run: x, inputs: {a: {from: a, where: {k: x}, else: a}}}
      |                                                                     ^ name a node without it

matrix: {m: [{id: a, n: {id: x, o: y}}], n: {of: m}, o: {of: n}}
nodes:
  a: {matrix: [m, o], run: x}
--
p.yaml:3:15: 'o' follows from 'm'
    3 |   a: {matrix: [m, o], run: x}
      |               ^^^^^^ leave it out: a cell of 'm' is in one of 'o'

matrix: {m: "${{ 100001 | range }}"}
nodes:
  a: {matrix: m, run: x}
--
p.yaml:1:13: the axis 'm' has 100,001 values, and at most 100,000
    1 | matrix: {m: "${{ 100001 | range }}"}
      |             ^^^^^^^^^^^^^^^^^^^^^^^

matrix: {m: [a, a.b]}
nodes:
  a: {matrix: m, python: math:gcd, outputs: [c, b]}
--
p.yaml:3:49: 'a@a.b' is a cell, and the output 'b' of another one
    3 |   a: {matrix: m, python: math:gcd, outputs: [c, b]}
      |                                                 ^ rename the output, or give the value an id

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, needs: a@1}
--
p.yaml:4:22: 'needs' cannot be 'a@1'
    4 |   b: {run: x, needs: a@1}
      |                      ^^^ write the name of a node

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: a@1@x}
--
p.yaml:4:23: 'inputs' cannot be 'a@1@x'
    4 |   b: {run: x, inputs: a@1@x}
      |                       ^^^^^ write node, or node.output

matrix: {u: [{id: a1, v: a}, {id: a2, v: b}], v: {of: }}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:51: 'of' is empty
    1 | matrix: {u: [{id: a1, v: a}, {id: a2, v: b}], v: {of: }}
      |                                                   ^^ for example of: unit

matrix: {u: [{id: a1, v: a}, {id: a2, v: b}], v: {of: 3}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:55: 'of' must be a string, not 3
    1 | matrix: {u: [{id: a1, v: a}, {id: a2, v: b}], v: {of: 3}}
      |                                                       ^ put it in quotes

matrix: {u: [{id: a1, v: a}, {id: a2, v: b}], v: {of: u, id: x}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:58: 'id' names a column of 'rows'
    1 | matrix: {u: [{id: a1, v: a}, {id: a2, v: b}], v: {of: u, id: x}}
      |                                                          ^^ remove it

matrix: {u: [{id: a1, v: a}, {id: a2, v: b}], v: {of: u, files: x}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:50: the axis 'v' has files and of
    1 | matrix: {u: [{id: a1, v: a}, {id: a2, v: b}], v: {of: u, files: x}}
      |                                                  ^^^^^^^^^^^^^^^^^ give it a list, or one of files, rows, of

matrix: {u: [{id: a1, v: a}, {id: a2, v: b}], v: {of: v}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:55: there is no axis 'v' above this one
    1 | matrix: {u: [{id: a1, v: a}, {id: a2, v: b}], v: {of: v}}
      |                                                       ^ there is u

matrix: {u: [{id: a1, v: a}, {id: a2, v: b}], v: {of: U}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:55: there is no axis 'U' above this one
    1 | matrix: {u: [{id: a1, v: a}, {id: a2, v: b}], v: {of: U}}
      |                                                       ^ did you mean 'u'?

matrix: {u: [{id: a1, v: a}, {id: a2, v: b}], v: {of: '${{ params.x }}'}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:56: an expression is not evaluated here
    1 | matrix: {u: [{id: a1, v: a}, {id: a2, v: b}], v: {of: '${{ params.x }}'}}
      |                                                        ^^^^^^^^^^^^^^^ expressions stand in with, env, files, if, timeout, retries, resources, executor, cache, map, read, write

matrix: {u: [{id: a1, v: a}, {id: a2, v: b}], v: {off: u}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:51: 'off' is not a key of 'v'
    1 | matrix: {u: [{id: a1, v: a}, {id: a2, v: b}], v: {off: u}}
      |                                                   ^^^ did you mean 'of'?

matrix: {u: [{id: a1, v: a}, {id: a2, v: b}], v: {of: u, where: {u: a1}}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:58: 'where' is not a key of 'v'
    1 | matrix: {u: [{id: a1, v: a}, {id: a2, v: b}], v: {of: u, where: {u: a1}}}
      |                                                          ^^^^^ there is files, rows, id, of

matrix: {v: {of: u}, u: [{id: a1, v: a}, {id: a2, v: b}]}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:18: there is no axis 'u' above this one
    1 | matrix: {v: {of: u}, u: [{id: a1, v: a}, {id: a2, v: b}]}
      |                  ^ it follows from an axis that is declared before it

matrix: {u: [{id: 1, v: 1}, {id: 2, v: null}], v: {of: u}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:56: '2' of the axis 'u' has no 'v'
    1 | matrix: {u: [{id: 1, v: 1}, {id: 2, v: null}], v: {of: u}}
      |                                                        ^ write {id: 2, v: …}

matrix: {u: {rows: gaps.csv}, v: {of: u}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:39: '2' of the axis 'u' has no 'v'
    1 | matrix: {u: {rows: gaps.csv}, v: {of: u}}
      |                                       ^ write {id: 2, v: …}

matrix: {u: [1, 2], v: {of: u}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:29: '1' of the axis 'u' has no 'v'
    1 | matrix: {u: [1, 2], v: {of: u}}
      |                             ^ write {id: 1, v: …}

matrix: {u: [{id: 1, v: [1]}, {id: 2, v: 2}], v: {of: u}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:55: an item of 'v' must be a string, a number, true or false or a mapping, not a list
    1 | matrix: {u: [{id: 1, v: [1]}, {id: 2, v: 2}], v: {of: u}}
      |                                                       ^ write a string, a number, true, false, or {id: a, …}

matrix: {u: [{id: 1, v: 1}, {id: 2, v: '1'}], v: {of: u}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:55: the values '1' and '1' of the axis 'v' have one id
    1 | matrix: {u: [{id: 1, v: 1}, {id: 2, v: '1'}], v: {of: u}}
      |                                                       ^ remove one, or give it an id that differs in more than case: {id: …, …}

matrix: {v: [1], V: [2]}
nodes: {a: {matrix: [v, V], run: x}}
--
p.yaml:1:18: the axes 'v' and 'V' differ only in case
    1 | matrix: {v: [1], V: [2]}
      |                  ^ columns would clash: rename one

matrix: {v: {files: ''}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:21: 'files' is empty
    1 | matrix: {v: {files: ''}}
      |                     ^^ for example files: data/{sample}_{lane}.csv

matrix: {v: {files: 3}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:21: 'files' must be a string, not 3
    1 | matrix: {v: {files: 3}}
      |                     ^ put it in quotes

matrix: {v: {files: data}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:21: no file matches 'data'
    1 | matrix: {v: {files: data}}
      |                     ^^^^ a pattern is relative to the pipeline file

matrix: {v: {files: data/}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:21: no file matches 'data/'
    1 | matrix: {v: {files: data/}}
      |                     ^^^^^ a pattern is relative to the pipeline file

matrix: {v: {files: 'data/*.CSV'}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:21: no file matches 'data/*.CSV'
    1 | matrix: {v: {files: 'data/*.CSV'}}
      |                     ^^^^^^^^^^^^ a pattern is relative to the pipeline file

matrix: {v: {files: 'sub/*/*.csv'}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:21: the values 'x' and 'x' of the axis 'v' have one id
    1 | matrix: {v: {files: 'sub/*/*.csv'}}
      |                     ^^^^^^^^^^^^^ remove one, or give it an id that differs in more than case: {id: …, …}

matrix: {v: {files: '~/*.csv'}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:21: no file matches '~/*.csv'
    1 | matrix: {v: {files: '~/*.csv'}}
      |                     ^^^^^^^^^ a pattern is relative to the pipeline file

matrix: {v: {files: 'https://x/{a}.csv'}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:21: no file matches 'https://x/{a}.csv'
    1 | matrix: {v: {files: 'https://x/{a}.csv'}}
      |                     ^^^^^^^^^^^^^^^^^^^ a pattern is relative to the pipeline file

matrix: {v: {files: 'dat/*.csv'}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:21: no file matches 'dat/*.csv'
    1 | matrix: {v: {files: 'dat/*.csv'}}
      |                     ^^^^^^^^^^^ a pattern is relative to the pipeline file

matrix: {v: {rows: ''}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:20: 'rows' is empty
    1 | matrix: {v: {rows: ''}}
      |                    ^^ for example rows: samples.csv

matrix: {v: {rows: 3}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:20: 'rows' must be a string, not 3
    1 | matrix: {v: {rows: 3}}
      |                    ^ put it in quotes

matrix: {v: {rows: 's*.csv'}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:20: the axis 'v' has no values: there is no file 's*.csv'
    1 | matrix: {v: {rows: 's*.csv'}}
      |                    ^^^^^^^^ those that match a pattern are {files: …}

matrix: {v: {rows: data}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:20: the axis 'v' has no values: there is no file 'data'
    1 | matrix: {v: {rows: data}}
      |                    ^^^^ those that match a pattern are {files: …}

matrix: {v: {rows: t.txt}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:20: the axis 'v' has no values: t.txt has an ending that says no format: known are .arrow .feather .ipc .csv .tsv .jsonl .ndjson .parquet .pq; .gz .bz2 .zst after csv and jsonl
    1 | matrix: {v: {rows: t.txt}}
      |                    ^^^^^

matrix: {v: {rows: twice.csv}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:20: the axis 'v' has no values: 'twice.csv' has no rows, or 'id' twice
    1 | matrix: {v: {rows: twice.csv}}
      |                    ^^^^^^^^^

matrix: {v: {rows: half.csv}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:20: the 'id' in row 1 of 'half.csv' is 0.5
    1 | matrix: {v: {rows: half.csv}}
      |                    ^^^^^^^^ an id is a string or a whole number

matrix: {v: {rows: s.csv, key: x}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:27: 'key' is not a key of 'v'
    1 | matrix: {v: {rows: s.csv, key: x}}
      |                           ^^^ there is files, rows, id, of

matrix: {v: {rows: s.csv, id: [x]}}
nodes: {a: {matrix: v, run: x}}
--
p.yaml:1:31: 'id' must be a string, not a list
    1 | matrix: {v: {rows: s.csv, id: [x]}}
      |                               ^^^ for example id: name

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {from: a, gather: concat, columns: {m: model}}}}
--
p.yaml:4:62: 'columns' must be a list, not a mapping
    4 |   b: {run: x, inputs: {a: {from: a, gather: concat, columns: {m: model}}}}
      |                                                              ^^^^^^^^^^ for example columns: [fold]

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {from: a, gather: concat, columns: }}}
--
p.yaml:4:53: 'columns' is empty
    4 |   b: {run: x, inputs: {a: {from: a, gather: concat, columns: }}}
      |                                                     ^^^^^^^ for example columns: [fold]

matrix: {m: [1, 2], k: [x, y]}
nodes:
  a: {matrix: [m, k], run: x}
  b: {run: x, inputs: {a: {from: a, gather: concat, columns: [M]}}}
--
p.yaml:4:63: 'a' has no axis 'M'
    4 |   b: {run: x, inputs: {a: {from: a, gather: concat, columns: [M]}}}
      |                                                               ^ did you mean 'm'?

matrix: {f: [1]}
nodes:
  a: {run: x}
  c: {run: x}
  k: {run: x, matrix: f}
  b: {run: x, inputs: {a: {from: a, else: }}}
--
p.yaml:6:37: 'else' is empty
    6 |   b: {run: x, inputs: {a: {from: a, else: }}}
      |                                     ^^^^ write node, or node.output

matrix: {f: [1]}
nodes:
  a: {run: x}
  c: {run: x}
  k: {run: x, matrix: f}
  b: {run: x, inputs: {a: {from: a, else: a}}}
--
p.yaml:6:43: 'a' is what is absent then
    6 |   b: {run: x, inputs: {a: {from: a, else: a}}}
      |                                           ^ name another node

matrix: {f: [1]}
nodes:
  a: {run: x}
  c: {run: x}
  k: {run: x, matrix: f}
  b: {run: x, inputs: {a: {from: a, else: b}}}
--
p.yaml:6:43: node 'b' reads itself
    6 |   b: {run: x, inputs: {a: {from: a, else: b}}}
      |                                           ^ a node reads the outputs of others

matrix: {f: [1]}
nodes:
  a: {run: x}
  c: {run: x}
  k: {run: x, matrix: f}
  b: {run: x, inputs: {a: {from: a, else: [c]}}}
--
p.yaml:6:43: 'else' must be a string, not a list
    6 |   b: {run: x, inputs: {a: {from: a, else: [c]}}}
      |                                           ^^^ write node, or node.output

matrix: {f: [1]}
nodes:
  a: {run: x}
  c: {run: x}
  k: {run: x, matrix: f}
  b: {run: x, inputs: {a: {from: a, else: {from: c}}}}
--
p.yaml:6:43: 'else' must be a string, not a mapping
    6 |   b: {run: x, inputs: {a: {from: a, else: {from: c}}}}
      |                                           ^^^^^^^^^ write node, or node.output

matrix: {f: [1]}
nodes:
  a: {run: x}
  c: {run: x}
  k: {run: x, matrix: f}
  b: {run: x, inputs: {a: {from: a, else: c.x}}}
--
p.yaml:6:43: node 'c' has no output 'x'
    6 |   b: {run: x, inputs: {a: {from: a, else: c.x}}}
      |                                           ^^^ there is 'c'

matrix: {f: [1]}
nodes:
  a: {run: x}
  c: {run: x}
  k: {run: x, matrix: f}
  b: {run: x, inputs: {a: {from: a, else: cc}}}
--
p.yaml:6:43: node 'b' reads 'cc', which is not defined
    6 |   b: {run: x, inputs: {a: {from: a, else: cc}}}
      |                                           ^^ did you mean 'c' (line 4)?

matrix: {f: [1]}
nodes:
  a: {run: x}
  c: {run: x}
  k: {run: x, matrix: f}
  b: {run: x, inputs: {a: {from: a, else: k}}}
--
p.yaml:6:43: 'k' has the axis 'f', which 'b' does not have
    6 |   b: {run: x, inputs: {a: {from: a, else: k}}}
      |                                           ^ name a node without it

matrix: {f: [1]}
nodes:
  a: {run: x}
  c: {run: x}
  k: {run: x, matrix: f}
  b: {run: x, inputs: {a: {from: a, else: x.csv}}}
--
p.yaml:6:43: node 'b' reads 'x.csv', which is not defined
    6 |   b: {run: x, inputs: {a: {from: a, else: x.csv}}}
      |                                           ^^^^^ a file is read by a node of its own, as in 'read: data.csv', or stands under 'files'

matrix: {f: [1]}
nodes:
  a: {run: x}
  c: {run: x}
  k: {run: x, matrix: f}
  b: {run: x, inputs: {a: {from: a, or: c}}}
--
p.yaml:6:37: 'or' is not a key of 'a'
    6 |   b: {run: x, inputs: {a: {from: a, or: c}}}
      |                                     ^^ there is from, where, gather, columns, optional, else

matrix: {f: [1]}
nodes:
  a: {run: x}
  c: {run: x}
  k: {run: x, matrix: f}
  b: {run: x, inputs: {a: {from: a, optional: 1}}}
--
p.yaml:6:47: 'optional' must be true or false, not 1
    6 |   b: {run: x, inputs: {a: {from: a, optional: 1}}}
      |                                               ^

matrix: {f: [1]}
nodes:
  a: {run: x}
  c: {run: x}
  k: {run: x, matrix: f}
  b: {run: x, inputs: {a: {from: a, optional: 'yes'}}}
--
p.yaml:6:47: 'optional' must be true or false, not 'yes'
    6 |   b: {run: x, inputs: {a: {from: a, optional: 'yes'}}}
      |                                               ^^^^^

matrix: {f: [1]}
nodes:
  a: {run: x}
  c: {run: x}
  k: {run: x, matrix: f}
  b: {run: x, inputs: {a: {from: a, required: false}}}
--
p.yaml:6:37: 'required' is not a key of 'a'
    6 |   b: {run: x, inputs: {a: {from: a, required: false}}}
      |                                     ^^^^^^^^ there is from, where, gather, columns, optional, else

matrix: {f: [1]}
nodes:
  a: {run: x}
  c: {run: x}
  k: {run: x, matrix: f}
  b: {run: x, inputs: {a: {from: a, optional: '${{ true }}'}}}
--
p.yaml:6:48: an expression is not evaluated here
    6 |   b: {run: x, inputs: {a: {from: a, optional: '${{ true }}'}}}
      |                                                ^^^^^^^^^^^ expressions stand in with, env, files, if, timeout, retries, resources, executor, cache, map, read, write
""".strip("\n").split("\n\n")  # noqa: E501


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda text: text.partition("\n--\n")[0].splitlines()[-1][:60])
def test_a_mistake_is_told_at_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    written, _, told = mistake.partition("\n--\n")
    Path("p.yaml").write_text(written + "\n")
    with pytest.raises(SpecError) as caught:
        resolve(Path("p.yaml"), given={}, params_file=None, environ={}, run_id="r", to_run=False)
    assert render_all(caught.value.diagnostics) == told


def test_files_of_cells_are_not_said_to_be_put_together_as_tables(tmp_path: Path) -> None:
    made = "a: {run: echo > $NFRUN_OUTPUT_t, outputs: {t: .txt}, matrix: {k: [x, y]}}"
    (tmp_path / "p.yaml").write_text(f"nodes:\n  {made}\n  b: {{run: ls, inputs: {{t: a.t}}}}\n")
    with pytest.raises(SpecError, match=r"gather: \{from: a\.t, gather: dict\}, or pin: ") as error:
        read_pipeline(tmp_path / "p.yaml")
    assert len(error.value.diagnostics) == 1
