"""The loader: the pipeline that a file gives, and the exact diagnostics of references between its parts."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nfrun.core.errors import SpecError, render, render_all
from nfrun.core.pipeline import Input, OutputId, Param, Pipeline, Retry
from nfrun.nodes.registry import KINDS
from nfrun.pipeline_file.expressions import evaluate
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.pipeline_file.suggestions import node_keys
from nfrun.system.units import to_seconds

# Pairs of a file and its expected diagnostics.
REFUSED = r"""
nodes:
  a: {sql: select 1, packages: pyarrow}
  b: {run: x, packages: [pyarrow, pyarrow]}
  c: {run: x, packages: [pyarrow==26, 1]}
  d: {run: x, packages: []}
--
p.yaml:2:32: 'packages' must be a list, not 'pyarrow'
    2 |   a: {sql: select 1, packages: pyarrow}
      |                                ^^^^^^^ for example packages: [spacy-models]
p.yaml:3:35: 'packages' has 'pyarrow' twice
    3 |   b: {run: x, packages: [pyarrow, pyarrow]}
      |                                   ^^^^^^^
p.yaml:4:26: an item of 'packages' cannot be 'pyarrow==26'
    4 |   c: {run: x, packages: [pyarrow==26, 1]}
      |                          ^^^^^^^^^^^ write the name alone, without a version
p.yaml:4:39: an item of 'packages' must be a string, not 1
    4 |   c: {run: x, packages: [pyarrow==26, 1]}
      |                                       ^ write the name alone, without a version
p.yaml:5:25: 'packages' is empty
    5 |   d: {run: x, packages: []}
      |                         ^^ for example packages: [spacy-models]

nodes:
  a: {run: x}
  b: {run: x, inputs: ab}
--
p.yaml:3:23: node 'b' reads 'ab', which is not defined
    3 |   b: {run: x, inputs: ab}
      |                       ^^ did you mean 'a' (line 2)?

nodes:
  a: {run: x}
  b: {run: x, inputs: A}
--
p.yaml:3:23: node 'b' reads 'A', which is not defined
    3 |   b: {run: x, inputs: A}
      |                       ^ did you mean 'a' (line 2)?

nodes:
  a: {run: x}
  b: {run: x, inputs: {t: c}}
--
p.yaml:3:27: node 'b' reads 'c', which is not defined
    3 |   b: {run: x, inputs: {t: c}}
      |                           ^ there is 'a'

nodes:
  a: {run: x}
  b: {run: x, inputs: b}
--
p.yaml:3:23: node 'b' reads itself
    3 |   b: {run: x, inputs: b}
      |                       ^ a node reads the outputs of others

nodes:
  a: {run: x}
  b: {run: x, inputs: a.x}
--
p.yaml:3:23: node 'a' has no output 'x'
    3 |   b: {run: x, inputs: a.x}
      |                       ^^^ there is 'a'

nodes:
  a: {run: x}
  b: {run: x, inputs: a.csv}
--
p.yaml:3:23: node 'a' has no output 'csv'
    3 |   b: {run: x, inputs: a.csv}
      |                       ^^^^^ there is 'a'

nodes:
  a: {run: x}
  b: {run: x, inputs: [a, a]}
--
p.yaml:3:27: two inputs are called 'a'
    3 |   b: {run: x, inputs: [a, a]}
      |                           ^ name them: inputs: {a: a, other: …}

nodes:
  a: {run: x}
  b: {run: x, inputs: zz}
--
p.yaml:3:23: node 'b' reads 'zz', which is not defined
    3 |   b: {run: x, inputs: zz}
      |                       ^^ there is 'a'

nodes:
  split: {run: x, outputs: [early, late]}
  one: {run: x, outputs: [only]}
  b: {run: x, inputs: split}
--
p.yaml:4:23: node 'split' has 2 outputs
    4 |   b: {run: x, inputs: split}
      |                       ^^^^^ say which: 'split.early' or 'split.late'

nodes:
  split: {run: x, outputs: [early, late]}
  one: {run: x, outputs: [only]}
  b: {run: x, inputs: split.nope}
--
p.yaml:4:23: node 'split' has no output 'nope'
    4 |   b: {run: x, inputs: split.nope}
      |                       ^^^^^^^^^^ there is 'split.early', 'split.late'

nodes:
  split: {run: x, outputs: [early, late]}
  one: {run: x, outputs: [only]}
  b: {run: x, inputs: split.lat}
--
p.yaml:4:23: node 'split' has no output 'lat'
    4 |   b: {run: x, inputs: split.lat}
      |                       ^^^^^^^^^ there is 'split.early', 'split.late'

nodes:
  split: {run: x, outputs: [early, late]}
  one: {run: x, outputs: [only]}
  b: {run: x, inputs: late}
--
p.yaml:4:23: node 'b' reads 'late', which is not defined
    4 |   b: {run: x, inputs: late}
      |                       ^^^^ did you mean 'split.late'?

nodes:
  split: {run: x, outputs: [early, late]}
  one: {run: x, outputs: [only]}
  b: {run: x, inputs: Split.late}
--
p.yaml:4:23: node 'b' reads 'Split.late', which is not defined
    4 |   b: {run: x, inputs: Split.late}
      |                       ^^^^^^^^^^ did you mean 'split.late' (line 2)?

nodes:
  split: {run: x, outputs: [early, late]}
  one: {run: x, outputs: [only]}
  b: {run: x, inputs: [split.late, split.late]}
--
p.yaml:4:36: two inputs are called 'late'
    4 |   b: {run: x, inputs: [split.late, split.late]}
      |                                    ^^^^^^^^^^ name them: inputs: {late: split.late, other: …}

nodes:
  split: {run: x, outputs: [early, late]}
  one: {run: x, outputs: [only]}
  b: {run: x, inputs: {t: split.early, u: split.odd}}
--
p.yaml:4:43: node 'split' has no output 'odd'
    4 |   b: {run: x, inputs: {t: split.early, u: split.odd}}
      |                                           ^^^^^^^^^ there is 'split.early', 'split.late'

nodes:
  split: {run: x, outputs: [early, late]}
  one: {run: x, outputs: [only]}
  b: {run: x, inputs: one.onyl}
--
p.yaml:4:23: node 'one' has no output 'onyl'
    4 |   b: {run: x, inputs: one.onyl}
      |                       ^^^^^^^^ there is 'one.only'

nodes:
  long-name: {run: x}
  b: {run: x, inputs: long-name}
--
p.yaml:3:23: 'long-name' cannot be the name of an input
    3 |   b: {run: x, inputs: long-name}
      |                       ^^^^^^^^^ name it: inputs: {long_name: long-name}

nodes:
  a: {run: x}
  b: {run: x, inputs: a, with: {a: 1}}
--
p.yaml:3:33: 'a' is both an input and a value
    3 |   b: {run: x, inputs: a, with: {a: 1}}
      |                                 ^ rename one

nodes:
  a: {run: x}
  b: {run: x, needs: [ab, b, q, a]}
--
p.yaml:3:23: node 'b' needs 'ab', which is not defined
    3 |   b: {run: x, needs: [ab, b, q, a]}
      |                       ^^ did you mean 'a' (line 2)?
p.yaml:3:27: node 'b' needs itself
    3 |   b: {run: x, needs: [ab, b, q, a]}
      |                           ^ remove it
p.yaml:3:30: node 'b' needs 'q', which is not defined
    3 |   b: {run: x, needs: [ab, b, q, a]}
      |                              ^ there is 'a'

nodes:
  a: {run: x}
  b: {run: x, inputs: {p: q, r-s: a, t: [1]}}
--
p.yaml:3:27: node 'b' reads 'q', which is not defined
    3 |   b: {run: x, inputs: {p: q, r-s: a, t: [1]}}
      |                           ^ there is 'a'
p.yaml:3:30: 'r-s' cannot be a name in 'inputs'
    3 |   b: {run: x, inputs: {p: q, r-s: a, t: [1]}}
      |                              ^^^ a name has letters, digits and _, and does not start with a digit
p.yaml:3:41: 't' must be a string or a mapping, not a list
    3 |   b: {run: x, inputs: {p: q, r-s: a, t: [1]}}
      |                                         ^^^ write node, or node.output

nodes:
  a: {run: x}
  b: {run: x, needs: [q, 3, a]}
--
p.yaml:3:23: node 'b' needs 'q', which is not defined
    3 |   b: {run: x, needs: [q, 3, a]}
      |                       ^ there is 'a'
p.yaml:3:26: an item of 'needs' must be a string, not 3
    3 |   b: {run: x, needs: [q, 3, a]}
      |                          ^ write the name of a node

nodes:
  a: {run: x, output: [p]}
  b: {run: x, inputs: a.p}
--
p.yaml:2:15: 'output' is not a key of a node
    2 |   a: {run: x, output: [p]}
      |               ^^^^^^ did you mean 'outputs'?

nodes:
  a:
  b: {run: x, inputs: a}
  c: {run: x, inputs: [a.p, b]}
--
p.yaml:2:3: node 'a' is empty
    2 |   a:
      |   ^ for example a: {python: steps:clean, inputs: flights}

outputs: {x: b}
nodes:
  a: {run: x}
  s: {run: x, outputs: [p, q]}
--
p.yaml:1:14: 'outputs' shows 'b', which is not defined
    1 | outputs: {x: b}
      |              ^ there is 'a', 's'

outputs: {x: a.b}
nodes:
  a: {run: x}
  s: {run: x, outputs: [p, q]}
--
p.yaml:1:14: node 'a' has no output 'b'
    1 | outputs: {x: a.b}
      |              ^^^ there is 'a'

outputs: {x: s}
nodes:
  a: {run: x}
  s: {run: x, outputs: [p, q]}
--
p.yaml:1:14: node 's' has 2 outputs
    1 | outputs: {x: s}
      |              ^ say which: 's.p' or 's.q'

outputs: {x: s.r}
nodes:
  a: {run: x}
  s: {run: x, outputs: [p, q]}
--
p.yaml:1:14: node 's' has no output 'r'
    1 | outputs: {x: s.r}
      |              ^^^ there is 's.p', 's.q'

nodes:
  Load: {run: x}
  load: {run: x}
  LOAD: {run: x}
--
p.yaml:3:3: 'load' differs from 'Load' (line 2) only in case
    3 |   load: {run: x}
      |   ^^^^ files would clash on some systems: rename one
p.yaml:4:3: 'LOAD' differs from 'Load' (line 2) only in case
    4 |   LOAD: {run: x}
      |   ^^^^ files would clash on some systems: rename one

nodes:
  "a\u202eb": {run: x}
--
p.yaml:2:3: 'a\u202eb' cannot be a name in 'nodes'
    2 |   "a\u202eb": {run: x}
      |   ^^^^^^^^^^ the name of a node has letters, digits, _ and -, starts with a letter, and has at most 64 characters

nodes:
  1a: {run: x}
  a b: {run: x}
  a.b: {run: x}
  é: {run: x}
  '': {run: x}
--
p.yaml:2:3: '1a' cannot be a name in 'nodes'
    2 |   1a: {run: x}
      |   ^^ the name of a node has letters, digits, _ and -, starts with a letter, and has at most 64 characters
p.yaml:3:3: 'a b' cannot be a name in 'nodes'
    3 |   a b: {run: x}
      |   ^^^ the name of a node has letters, digits, _ and -, starts with a letter, and has at most 64 characters
p.yaml:4:3: 'a.b' cannot be a name in 'nodes'
    4 |   a.b: {run: x}
      |   ^^^ the name of a node has letters, digits, _ and -, starts with a letter, and has at most 64 characters
p.yaml:5:3: 'é' cannot be a name in 'nodes'
    5 |   é: {run: x}
      |   ^ the name of a node has letters, digits, _ and -, starts with a letter, and has at most 64 characters
p.yaml:6:3: '' cannot be a name in 'nodes'
    6 |   '': {run: x}
      |   ^^ the name of a node has letters, digits, _ and -, starts with a letter, and has at most 64 characters

nodes:
  "a\n": {run: x}
--
p.yaml:2:3: 'a\n' cannot be a name in 'nodes'
    2 |   "a\n": {run: x}
      |   ^^^^^ the name of a node has letters, digits, _ and -, starts with a letter, and has at most 64 characters

nodes:
  a: {run: x, inputs: b}
  b: {run: x, inputs: a}
--
p.yaml:2:3: these nodes need one another in a circle: a -> b -> a
    2 |   a: {run: x, inputs: b}
      |   ^ remove one of these references

nodes:
  a: {run: x, inputs: {t: b.p}}
  b: {run: x, inputs: [c], outputs: [p]}
  c: {run: x, needs: [d, a]}
  d: {run: x}
--
p.yaml:2:3: these nodes need one another in a circle: a -> b -> c -> a
    2 |   a: {run: x, inputs: {t: b.p}}
      |   ^ remove one of these references

nodes:
  a: {run: x, needs: b}
  b: {run: x, needs: a}
  c: {run: x, needs: d}
  d: {run: x, needs: c}
--
p.yaml:2:3: these nodes need one another in a circle: a -> b -> a
    2 |   a: {run: x, needs: b}
      |   ^ remove one of these references
p.yaml:4:3: these nodes need one another in a circle: c -> d -> c
    4 |   c: {run: x, needs: d}
      |   ^ remove one of these references

nodes:
  a: {run: x, inputs: [b, zz], retries: -1}
  b: {run: x, inputs: a}
--
p.yaml:2:3: these nodes need one another in a circle: a -> b -> a
    2 |   a: {run: x, inputs: [b, zz], retries: -1}
      |   ^ remove one of these references
p.yaml:2:27: node 'a' reads 'zz', which is not defined
    2 |   a: {run: x, inputs: [b, zz], retries: -1}
      |                           ^^ there is 'b'
p.yaml:2:41: 'retries' must be at least 0, not -1
    2 |   a: {run: x, inputs: [b, zz], retries: -1}
      |                                         ^^

params:
  x: {type: integer, default: '1'}
nodes:
  a: {run: x}
--
p.yaml:2:31: the parameter 'x' must be of type integer, not string
    2 |   x: {type: integer, default: '1'}
      |                               ^^^

params:
  x: {type: integer, default: 1.0}
nodes:
  a: {run: x}
--
p.yaml:2:31: the parameter 'x' must be of type integer, not number
    2 |   x: {type: integer, default: 1.0}
      |                               ^^^

params:
  x: {type: integer, default: 1.5}
nodes:
  a: {run: x}
--
p.yaml:2:31: the parameter 'x' must be of type integer, not number
    2 |   x: {type: integer, default: 1.5}
      |                               ^^^

params:
  x: {type: integer, default: true}
nodes:
  a: {run: x}
--
p.yaml:2:31: the parameter 'x' must be of type integer, not boolean
    2 |   x: {type: integer, default: true}
      |                               ^^^^

params:
  x: {type: string, default: 1}
nodes:
  a: {run: x}
--
p.yaml:2:30: the parameter 'x' must be of type string, not integer
    2 |   x: {type: string, default: 1}
      |                              ^

params:
  x: {type: boolean, default: 'yes'}
nodes:
  a: {run: x}
--
p.yaml:2:31: the parameter 'x' must be of type boolean, not string
    2 |   x: {type: boolean, default: 'yes'}
      |                               ^^^^^

params:
  x: {type: array, default: {}}
nodes:
  a: {run: x}
--
p.yaml:2:29: the parameter 'x' must be of type array, not object
    2 |   x: {type: array, default: {}}
      |                             ^^

params:
  x: {default: UB, enum: [UA, DL]}
nodes:
  a: {run: x}
--
p.yaml:2:16: the parameter 'x' must be one of UA, DL
    2 |   x: {default: UB, enum: [UA, DL]}
      |                ^^

params:
  x: {default: zz, enum: [UA, DL]}
nodes:
  a: {run: x}
--
p.yaml:2:16: the parameter 'x' must be one of UA, DL
    2 |   x: {default: zz, enum: [UA, DL]}
      |                ^^

params:
  x: {enum: [1, a, 2.5]}
nodes:
  a: {run: x}
--
p.yaml:2:17: the parameter 'x' must be of type integer, not string
    2 |   x: {enum: [1, a, 2.5]}
      |                 ^
p.yaml:2:20: the parameter 'x' must be of type integer, not number
    2 |   x: {enum: [1, a, 2.5]}
      |                    ^^^

params:
  x: {type: integer, default: x, enum: [1]}
nodes:
  a: {run: x}
--
p.yaml:2:31: the parameter 'x' must be of type integer, not string
    2 |   x: {type: integer, default: x, enum: [1]}
      |                               ^

params:
  x: {enum: [null]}
nodes:
  a: {run: x}
--
p.yaml:2:14: the parameter 'x' must be of type string, not null
    2 |   x: {enum: [null]}
      |              ^^^^

params: {month: 1}
nodes:
  a: {run: x}
  b: {run: 'echo ${{ params.month }}'}
--
p.yaml:4:18: an expression is not evaluated here
    4 |   b: {run: 'echo ${{ params.month }}'}
      |                  ^^^^^^^^^^^^^^^^^^^ put it under 'with' and write "$NFRUN_WITH_name": values are never pasted into a script

params: {month: 1}
nodes:
  a: {run: x}
  b: {sql: 'select ${{ params.month }}'}
--
p.yaml:4:20: an expression is not evaluated here
    4 |   b: {sql: 'select ${{ params.month }}'}
      |                    ^^^^^^^^^^^^^^^^^^^ put it under 'with' and write $name: values are bound, never pasted into a query

params: {month: 1}
nodes:
  a: {run: x}
  b: {python: 'steps:${{ params.month }}'}
--
p.yaml:4:22: an expression is not evaluated here
    4 |   b: {python: 'steps:${{ params.month }}'}
      |                      ^^^^^^^^^^^^^^^^^^^ which function runs is fixed; put values under 'with'

params: {month: 1}
nodes:
  a: {run: x}
  b: {run: x, inputs: '${{ params.month }}'}
--
p.yaml:4:24: an expression is not evaluated here
    4 |   b: {run: x, inputs: '${{ params.month }}'}
      |                        ^^^^^^^^^^^^^^^^^^^ expressions stand in with, env, files, if, timeout, retries, resources, executor, cache, map, read, write

params: {month: 1}
nodes:
  a: {run: x}
  b: {run: x, inputs: {t: '${{ nodes.a }}'}}
--
p.yaml:4:28: an expression is not evaluated here
    4 |   b: {run: x, inputs: {t: '${{ nodes.a }}'}}
      |                            ^^^^^^^^^^^^^^ expressions stand in with, env, files, if, timeout, retries, resources, executor, cache, map, read, write

params: {month: 1}
nodes:
  a: {run: x}
  b: {run: x, needs: ['${{ params.month }}']}
--
p.yaml:4:24: an expression is not evaluated here
    4 |   b: {run: x, needs: ['${{ params.month }}']}
      |                        ^^^^^^^^^^^^^^^^^^^ expressions stand in with, env, files, if, timeout, retries, resources, executor, cache, map, read, write

params: {month: 1}
nodes:
  a: {run: x}
  b: {run: x, outputs: ['${{ params.month }}']}
--
p.yaml:4:26: an expression is not evaluated here
    4 |   b: {run: x, outputs: ['${{ params.month }}']}
      |                          ^^^^^^^^^^^^^^^^^^^ expressions stand in with, env, files, if, timeout, retries, resources, executor, cache, map, read, write

params: {month: 1}
nodes:
  a: {run: x}
  b: {run: x, format: '${{ params.month }}'}
--
p.yaml:4:24: an expression is not evaluated here
    4 |   b: {run: x, format: '${{ params.month }}'}
      |                        ^^^^^^^^^^^^^^^^^^^ expressions stand in with, env, files, if, timeout, retries, resources, executor, cache, map, read, write

params: {month: 1}
nodes:
  a: {run: x}
  b: {run: x, description: 'of ${{ params.month }}'}
--
p.yaml:4:32: an expression is not evaluated here
    4 |   b: {run: x, description: 'of ${{ params.month }}'}
      |                                ^^^^^^^^^^^^^^^^^^^ expressions stand in with, env, files, if, timeout, retries, resources, executor, cache, map, read, write

params: {month: 1}
nodes:
  a: {run: x}
  b: {run: x, wth: {v: '${{ params.month }}'}}
--
p.yaml:4:15: 'wth' is not a key of a node
    4 |   b: {run: x, wth: {v: '${{ params.month }}'}}
      |               ^^^ did you mean 'with'?

params: {month: 1}
nodes:
  a: {run: x}
  b: {run: x, with: {v: '${{ params.mnth }}'}}
--
p.yaml:4:26: 'params' has no 'mnth'
    4 |   b: {run: x, with: {v: '${{ params.mnth }}'}}
      |                          ^^^^^^^^^^^^^^^^^^ did you mean 'month'?

params: {month: 1}
nodes:
  a: {run: x}
  b: {run: x, with: {v: [{w: '${{ params.month }} ${{ params.y }}'}]}}
--
p.yaml:4:51: 'params' has no 'y'
    4 |   b: {run: x, with: {v: [{w: '${{ params.month }} ${{ params.y }}'}]}}
      |                                                   ^^^^^^^^^^^^^^^ there is month

params: {month: 1}
nodes:
  a: {run: x}
  b: {read: '${{ nodes.a }}.csv'}
--
p.yaml:4:14: there is nothing called 'nodes' in expressions
    4 |   b: {read: '${{ nodes.a }}.csv'}
      |              ^^^^^^^^^^^^^^ there is params, env, run

params: {month: 1}
nodes:
  a: {run: x}
  b: {write: '${{ run.nam }}.csv', inputs: a}
--
p.yaml:4:15: 'run' has no 'nam'
    4 |   b: {write: '${{ run.nam }}.csv', inputs: a}
      |               ^^^^^^^^^^^^^^ did you mean 'name'?

params: {month: 1}
nodes:
  a: {run: x}
  b: {run: x, with: {v: '${{ params.month'}}
--
p.yaml:4:26: this expression has no end
    4 |   b: {run: x, with: {v: '${{ params.month'}}
      |                          ^^^ close it with }}

params: {month: 1}
nodes:
  a: {run: x}
  b: {run: x, with: {v: '{{ params.month }}'}}
--
p.yaml:4:26: '{{' alone begins no expression
    4 |   b: {run: x, with: {v: '{{ params.month }}'}}
      |                          ^^ write ${{ … }}

params: {month: 1}
nodes:
  a: {run: x}
  b: {run: x, with: {v: '${{ a }} ${{ }} ${{ 1 + }}'}}
--
p.yaml:4:26: there is nothing called 'a' in expressions
    4 |   b: {run: x, with: {v: '${{ a }} ${{ }} ${{ 1 + }}'}}
      |                          ^^^^^^^^ there is params, env, run
p.yaml:4:35: this expression is empty
    4 |   b: {run: x, with: {v: '${{ a }} ${{ }} ${{ 1 + }}'}}
      |                                   ^^^^^^ write one of params, env, run
p.yaml:4:42: '1 +' is not an expression: unexpected 'end of expression'
    4 |   b: {run: x, with: {v: '${{ a }} ${{ }} ${{ 1 + }}'}}
      |                                          ^^^^^^^^^^

params: {month: 1}
nodes:
  a: {run: x}
  b: {run: x, with: {v: "\x24{{ q }}"}}
--
p.yaml:4:25: there is nothing called 'q' in expressions
    4 |   b: {run: x, with: {v: "\x24{{ q }}"}}
      |                         ^^^^^^^^^^^^^ there is params, env, run

params: {month: 1}
nodes:
  a: {run: x}
  b: {run: x, with: {v: '${{ params.month }'}}
--
p.yaml:4:26: this expression has no end
    4 |   b: {run: x, with: {v: '${{ params.month }'}}
      |                          ^^^ close it with }}

params: {month: 1}
nodes:
  a: {run: x}
  b:
    run: |
      echo hello
      echo ${{ params.month }}
--
p.yaml:7:12: an expression is not evaluated here
    7 |       echo ${{ params.month }}
      |            ^^^^^^^^^^^^^^^^^^^ put it under 'with' and write "$NFRUN_WITH_name": values are never pasted into a script

params: {month: 1}
nodes:
  a: {run: x}
  b:
    run: x
    with:
      v: >
        ${{ params.month }}
        and ${{ params.y }}
--
p.yaml:9:13: 'params' has no 'y'
    9 |         and ${{ params.y }}
      |             ^^^^^^^^^^^^^^^ there is month

params: {month: 1}
nodes:
  a: {run: x}
  b:
    run: x
    with:
      v: 'one
        ${{ params.month }}
        ${{ params.y }}'
--
p.yaml:9:9: 'params' has no 'y'
    9 |         ${{ params.y }}'
      |         ^^^^^^^^^^^^^^^ there is month

params: {x: '${{ env.HOME }}', y: {default: '${{ env.HOME }}'}}
name: ${{ params.x }}
nodes:
  a: {run: x}
--
p.yaml:1:14: an expression is not evaluated here
    1 | params: {x: '${{ env.HOME }}', y: {default: '${{ env.HOME }}'}}
      |              ^^^^^^^^^^^^^^^ expressions stand in with, env, files, if, timeout, retries, resources, executor, cache, map, read, write
p.yaml:1:46: an expression is not evaluated here
    1 | params: {x: '${{ env.HOME }}', y: {default: '${{ env.HOME }}'}}
      |                                              ^^^^^^^^^^^^^^^ expressions stand in with, env, files, if, timeout, retries, resources, executor, cache, map, read, write
p.yaml:2:7: an expression is not evaluated here
    2 | name: ${{ params.x }}
      |       ^^^^^^^^^^^^^^^ expressions stand in with, env, files, if, timeout, retries, resources, executor, cache, map, read, write

outputs: {x: '${{ params.y }}'}
nodes:
  a: {run: x}
--
p.yaml:1:15: an expression is not evaluated here
    1 | outputs: {x: '${{ params.y }}'}
      |               ^^^^^^^^^^^^^^^ expressions stand in with, env, files, if, timeout, retries, resources, executor, cache, map, read, write

env: {A: '${{ params.y }}', B: '${{ env.C }}'}
defaults: {env: {D: '${{ prams.y }}'}, format: '${{ env.T }}'}
nodes:
  a: {run: x}
--
p.yaml:1:11: 'params' has no 'y'
    1 | env: {A: '${{ params.y }}', B: '${{ env.C }}'}
      |           ^^^^^^^^^^^^^^^ the file has none
p.yaml:2:22: there is nothing called 'prams' in expressions
    2 | defaults: {env: {D: '${{ prams.y }}'}, format: '${{ env.T }}'}
      |                      ^^^^^^^^^^^^^^ did you mean 'params'?
p.yaml:2:49: an expression is not evaluated here
    2 | defaults: {env: {D: '${{ prams.y }}'}, format: '${{ env.T }}'}
      |                                                 ^^^^^^^^^^^^ expressions stand in with, env, files, if, timeout, retries, resources, executor, cache, map, read, write

param: {month: 1}
nodes:
  a: {run: x, with: {v: '${{ params.month }}'}}
--
p.yaml:1:1: 'param' is not a key of a pipeline file
    1 | param: {month: 1}
      | ^^^^^ did you mean 'params'?

nodes:
  a: &a {run: x, retries: -1, with: {v: '${{ q }}'}}
  b: *a
  c: {run: x, with: {v: &v '${{ z }}', w: *v}}
--
p.yaml:2:27: 'retries' must be at least 0, not -1
    2 |   a: &a {run: x, retries: -1, with: {v: '${{ q }}'}}
      |                           ^^
p.yaml:2:42: there is nothing called 'q' in expressions
    2 |   a: &a {run: x, retries: -1, with: {v: '${{ q }}'}}
      |                                          ^^^^^^^^ there is params, env, run
p.yaml:4:29: there is nothing called 'z' in expressions
    4 |   c: {run: x, with: {v: &v '${{ z }}', w: *v}}
      |                             ^^^^^^^^ there is params, env, run
p.yaml:4:43: there is nothing called 'z' in expressions
    4 |   c: {run: x, with: {v: &v '${{ z }}', w: *v}}
      |                                           ^^ there is params, env, run

defaults: {timeout: 400d, retries: {max: 1, delay: 400d}}
nodes:
  a: {run: x}
  b: {run: x, timeout: 500d}
--
p.yaml:1:21: 'timeout' is longer than a year
    1 | defaults: {timeout: 400d, retries: {max: 1, delay: 400d}}
      |                     ^^^^
p.yaml:1:52: 'delay' is longer than a year
    1 | defaults: {timeout: 400d, retries: {max: 1, delay: 400d}}
      |                                                    ^^^^
p.yaml:4:24: 'timeout' is longer than a year
    4 |   b: {run: x, timeout: 500d}
      |                        ^^^^

nodes:
  a: {run: x, inputs: "b\u202ec", "k\u2066": 1, needs: "\u200f", outputs: ["o\u202e"], with: {"w\u202e": 1}}
--
p.yaml:2:23: 'inputs' cannot be 'b\u202ec'
    2 |   a: {run: x, inputs: "b\u202ec", "k\u2066": 1, needs: "\u200f", outputs: ["o\u202e"], with: {"w\u202e": 1}}
      |                       ^^^^^^^^^^ write node, or node.output
p.yaml:2:35: 'k\u2066' is not a key of a node
    2 |   a: {run: x, inputs: "b\u202ec", "k\u2066": 1, needs: "\u200f", outputs: ["o\u202e"], with: {"w\u202e": 1}}
      |                                   ^^^^^^^^^ there is python, sql, run, read, write, pipeline, use, inputs, with, outputs, schema, checks and 17 more
p.yaml:2:56: 'needs' cannot be '\u200f'
    2 |   a: {run: x, inputs: "b\u202ec", "k\u2066": 1, needs: "\u200f", outputs: ["o\u202e"], with: {"w\u202e": 1}}
      |                                                        ^^^^^^^^ write the name of a node
p.yaml:2:76: an item of 'outputs' cannot be 'o\u202e'
    2 |   a: {run: x, inputs: "b\u202ec", "k\u2066": 1, needs: "\u200f", outputs: ["o\u202e"], with: {"w\u202e": 1}}
      |                                                                            ^^^^^^^^^ a name has letters, digits and _, and does not start with a digit
p.yaml:2:95: 'w\u202e' cannot be a name in 'with'
    2 |   a: {run: x, inputs: "b\u202ec", "k\u2066": 1, needs: "\u200f", outputs: ["o\u202e"], with: {"w\u202e": 1}}
      |                                                                                               ^^^^^^^^^ a name has letters, digits and _, and does not start with a digit

nodes:
  a: {run: x, with: {v: "${{ \u202eq }}", w: "${{ params['\u202e'] }}"}}
--
p.yaml:2:25: '\u202eq' is not an expression: unexpected char '\u202e'
    2 |   a: {run: x, with: {v: "${{ \u202eq }}", w: "${{ params['\u202e'] }}"}}
      |                         ^^^^^^^^^^^^^^^^
p.yaml:2:46: 'params' has no '\u202e'
    2 |   a: {run: x, with: {v: "${{ \u202eq }}", w: "${{ params['\u202e'] }}"}}
      |                                              ^^^^^^^^^^^^^^^^^^^^^^^^^ the file has none

nodes:
  a: {read: "x\u202e.cvs"}
  b: {python: "m\u202e:f"}
  c: {run: x, timeout: "1\u202es", format: "c\u202e"}
--
p.yaml:2:13: the ending of this file does not tell its format
    2 |   a: {read: "x\u202e.cvs"}
      |             ^^^^^^^^^^^^^ known are .arrow .feather .ipc .csv .tsv .jsonl .ndjson .parquet .pq; or say with: {format: csv}
p.yaml:3:15: 'python' cannot be 'm\u202e:f'
    3 |   b: {python: "m\u202e:f"}
      |               ^^^^^^^^^^^ write module:function, such as steps:split
p.yaml:4:24: 'timeout' cannot be '1\u202es'
    4 |   c: {run: x, timeout: "1\u202es", format: "c\u202e"}
      |                        ^^^^^^^^^^ write 200ms, 30s, 10m, 1.5h, or a number of seconds
p.yaml:4:44: 'format' must be arrow, csv, jsonl or parquet, not 'c\u202e'
    4 |   c: {run: x, timeout: "1\u202es", format: "c\u202e"}
      |                                            ^^^^^^^^^

secrets: TOKEN
nodes:
  a: {run: x}
--
p.yaml:1:10: 'secrets' must be a list, not 'TOKEN'
    1 | secrets: TOKEN
      |          ^^^^^ for example secrets: [API_TOKEN]

secrets: {TOKEN: x}
nodes:
  a: {run: x}
--
p.yaml:1:10: 'secrets' must be a list, not a mapping
    1 | secrets: {TOKEN: x}
      |          ^^^^^^^^^^ for example secrets: [API_TOKEN]

secrets: []
nodes:
  a: {run: x}
--
p.yaml:1:10: 'secrets' is empty
    1 | secrets: []
      |          ^^ for example secrets: [API_TOKEN]

secrets:
nodes:
  a: {run: x}
--
p.yaml:1:1: 'secrets' is empty
    1 | secrets:
      | ^^^^^^^ for example secrets: [API_TOKEN]

secrets: [MY-TOKEN]
nodes:
  a: {run: x}
--
p.yaml:1:11: an item of 'secrets' cannot be 'MY-TOKEN'
    1 | secrets: [MY-TOKEN]
      |           ^^^^^^^^ write the name of an environment variable: letters, digits and _, not a digit first

secrets: [1TOKEN]
nodes:
  a: {run: x}
--
p.yaml:1:11: an item of 'secrets' cannot be '1TOKEN'
    1 | secrets: [1TOKEN]
      |           ^^^^^^ write the name of an environment variable: letters, digits and _, not a digit first

secrets: [TOKEN, TOKEN]
nodes:
  a: {run: x}
--
p.yaml:1:18: 'secrets' has 'TOKEN' twice
    1 | secrets: [TOKEN, TOKEN]
      |                  ^^^^^

secrets: [5]
nodes:
  a: {run: x}
--
p.yaml:1:11: an item of 'secrets' must be a string, not 5
    1 | secrets: [5]
      |           ^ write the name of an environment variable: letters, digits and _, not a digit first

secrets: ['${{ env.TOKEN }}']
nodes:
  a: {run: x}
--
p.yaml:1:12: an expression is not evaluated here
    1 | secrets: ['${{ env.TOKEN }}']
      |            ^^^^^^^^^^^^^^^^ expressions stand in with, env, files, if, timeout, retries, resources, executor, cache, map, read, write

secrets: ['$TOKEN']
nodes:
  a: {run: x}
--
p.yaml:1:11: an item of 'secrets' cannot be '$TOKEN'
    1 | secrets: ['$TOKEN']
      |           ^^^^^^^^ write the name of an environment variable: letters, digits and _, not a digit first

secret: [TOKEN]
nodes:
  a: {run: x}
--
p.yaml:1:1: 'secret' is not a key of a pipeline file
    1 | secret: [TOKEN]
      | ^^^^^^ did you mean 'secrets'?

secrets: [' TOKEN']
nodes:
  a: {run: x}
--
p.yaml:1:11: an item of 'secrets' cannot be ' TOKEN'
    1 | secrets: [' TOKEN']
      |           ^^^^^^^^ write the name of an environment variable: letters, digits and _, not a digit first

secrets: [TOKEN]
nodes:
  a: {run: x}
  b: {run: x, secrets: [TOKEN]}
--
p.yaml:4:15: 'secrets' is not a key of a node
    4 |   b: {run: x, secrets: [TOKEN]}
      |               ^^^^^^^ name them at the top of the file; a 'run' node gets one by its 'env'

secrets: [TOKEN]
nodes:
  a: {run: x}
  b: {run: x, env: {A: '${{ secrets.TOKN }}'}}
--
p.yaml:4:25: 'secrets' has no 'TOKN'
    4 |   b: {run: x, env: {A: '${{ secrets.TOKN }}'}}
      |                         ^^^^^^^^^^^^^^^^^^^ did you mean 'TOKEN'?

secrets: [TOKEN]
nodes:
  a: {run: x}
  b: {run: x, env: {A: '${{ secret.TOKEN }}'}}
--
p.yaml:4:25: there is nothing called 'secret' in expressions
    4 |   b: {run: x, env: {A: '${{ secret.TOKEN }}'}}
      |                         ^^^^^^^^^^^^^^^^^^^ did you mean 'secrets'?

secrets: [TOKEN]
nodes:
  a: {run: x}
  b: {run: x, with: {A: '${{ secrets.TOKEN }}'}}
--
p.yaml:4:26: a secret can be used in 'env' only
    4 |   b: {run: x, with: {A: '${{ secrets.TOKEN }}'}}
      |                          ^^^^^^^^^^^^^^^^^^^^ put it under 'env': python and run nodes read the variable

secrets: [TOKEN]
nodes:
  a: {run: x}
  b: {run: 'curl ${{ secrets.TOKEN }}'}
--
p.yaml:4:18: an expression is not evaluated here
    4 |   b: {run: 'curl ${{ secrets.TOKEN }}'}
      |                  ^^^^^^^^^^^^^^^^^^^^ put it under 'env': python and run nodes read the variable

secrets: [TOKEN]
nodes:
  a: {run: x}
  b: {sql: "select '${{ secrets.TOKEN }}'"}
--
p.yaml:4:21: an expression is not evaluated here
    4 |   b: {sql: "select '${{ secrets.TOKEN }}'"}
      |                     ^^^^^^^^^^^^^^^^^^^^ put it under 'env': python and run nodes read the variable

secrets: [TOKEN]
nodes:
  a: {run: x}
  b: {read: 'https://${{ secrets.TOKEN }}@x.org/a.csv'}
--
p.yaml:4:22: a secret can be used in 'env' only
    4 |   b: {read: 'https://${{ secrets.TOKEN }}@x.org/a.csv'}
      |                      ^^^^^^^^^^^^^^^^^^^^ put it under 'env': python and run nodes read the variable

secrets: [TOKEN]
nodes:
  a: {run: x}
  b: {run: x, env: {A: '${{ secrets.TOKEN | upper }}'}}
--
p.yaml:4:25: a secret must be a whole expression
    4 |   b: {run: x, env: {A: '${{ secrets.TOKEN | upper }}'}}
      |                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^ write ${{ secrets.NAME }}, and other text before or after it

secrets: [TOKEN]
nodes:
  a: {run: x}
  b: {run: x, env: {A: '${{ "Bearer " ~ secrets.TOKEN }}'}}
--
p.yaml:4:25: a secret must be a whole expression
    4 |   b: {run: x, env: {A: '${{ "Bearer " ~ secrets.TOKEN }}'}}
      |                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ write ${{ secrets.NAME }}, and other text before or after it

secrets: [TOKEN]
nodes:
  a: {run: x}
  b: {run: x, env: {A: '${{ secrets["TOKEN"] }}'}}
--
p.yaml:4:25: a secret must be a whole expression
    4 |   b: {run: x, env: {A: '${{ secrets["TOKEN"] }}'}}
      |                         ^^^^^^^^^^^^^^^^^^^^^^^ write ${{ secrets.NAME }}, and other text before or after it

secrets: [TOKEN]
nodes:
  a: {run: x}
  b: {run: x, env: {A: '${{ secrets }}'}}
--
p.yaml:4:25: a secret must be a whole expression
    4 |   b: {run: x, env: {A: '${{ secrets }}'}}
      |                         ^^^^^^^^^^^^^^ write ${{ secrets.NAME }}, and other text before or after it

secrets: [TOKEN]
nodes:
  a: {run: x}
  b: {run: x, env: {A: '${{ env.TOKEN }}'}}
--
p.yaml:4:25: 'TOKEN' is secret, and not in 'env' of expressions
    4 |   b: {run: x, env: {A: '${{ env.TOKEN }}'}}
      |                         ^^^^^^^^^^^^^^^^ write the secret itself: ${{ secrets.NAME }}

secrets: [TOKEN]
nodes:
  a: {run: x}
  b: {run: x, with: {A: '${{ env.TOKEN }}'}}
--
p.yaml:4:26: 'TOKEN' is secret, and not in 'env' of expressions
    4 |   b: {run: x, with: {A: '${{ env.TOKEN }}'}}
      |                          ^^^^^^^^^^^^^^^^ put it under 'env': python and run nodes read the variable

secrets: [TOKEN]
nodes:
  a: {run: x}
  b: {run: x, env: {A: 'x {{ secrets.TOKEN }}'}}
--
p.yaml:4:27: '{{' alone begins no expression
    4 |   b: {run: x, env: {A: 'x {{ secrets.TOKEN }}'}}
      |                           ^^ write ${{ … }}

secrets: [TOKEN]
nodes:
  a: {run: x}
  b: {run: x, env: {A: '${{ secrets.TOKEN'}}
--
p.yaml:4:25: this expression has no end
    4 |   b: {run: x, env: {A: '${{ secrets.TOKEN'}}
      |                         ^^^ close it with }}

secrets: [TOKEN]
nodes:
  a: {run: x}
  b: {run: x, env: {'A${{ secrets.TOKEN }}': x}}
--
p.yaml:4:21: 'A${{ secrets.TOKEN }}' cannot be a name in 'env'
    4 |   b: {run: x, env: {'A${{ secrets.TOKEN }}': x}}
      |                     ^^^^^^^^^^^^^^^^^^^^^^^ a name has letters, digits and _, and does not start with a digit

secrets: [TOKEN]
nodes:
  a: {run: x}
  b: {run: x, description: '${{ secrets.TOKEN }}'}
--
p.yaml:4:29: an expression is not evaluated here
    4 |   b: {run: x, description: '${{ secrets.TOKEN }}'}
      |                             ^^^^^^^^^^^^^^^^^^^^ put it under 'env': python and run nodes read the variable

secrets: [TOKEN]
nodes:
  a: {run: x}
  b: {write: '${{ secrets.TOKEN }}.csv', inputs: a}
--
p.yaml:4:15: a secret can be used in 'env' only
    4 |   b: {write: '${{ secrets.TOKEN }}.csv', inputs: a}
      |               ^^^^^^^^^^^^^^^^^^^^ put it under 'env': python and run nodes read the variable

nodes:
  a: {run: x, env: {A: '${{ secrets.TOKEN }}'}}
--
p.yaml:2:25: 'secrets' has no 'TOKEN'
    2 |   a: {run: x, env: {A: '${{ secrets.TOKEN }}'}}
      |                         ^^^^^^^^^^^^^^^^^^^^ name it at the top of the file: secrets: [TOKEN]

secrets: [TOKEN]
params: {p: '${{ secrets.TOKEN }}'}
nodes:
  a: {run: x}
--
p.yaml:2:14: an expression is not evaluated here
    2 | params: {p: '${{ secrets.TOKEN }}'}
      |              ^^^^^^^^^^^^^^^^^^^^ put it under 'env': python and run nodes read the variable

secrets: [TOKEN]
env: {AUTH: 'Bearer ${{ secrets.TOKEN }}', B: '${{ env.TOKEN }}'}
nodes:
  a: {run: x, with: {v: '${{ env.AUTH }}'}}
  b: {run: x, env: {v: '${{ env.AUTH }}'}}
--
p.yaml:2:48: 'TOKEN' is secret, and not in 'env' of expressions
    2 | env: {AUTH: 'Bearer ${{ secrets.TOKEN }}', B: '${{ env.TOKEN }}'}
      |                                                ^^^^^^^^^^^^^^^^ write the secret itself: ${{ secrets.NAME }}
p.yaml:4:26: 'AUTH' is secret, and not in 'env' of expressions
    4 |   a: {run: x, with: {v: '${{ env.AUTH }}'}}
      |                          ^^^^^^^^^^^^^^^ put it under 'env': python and run nodes read the variable
p.yaml:5:25: 'AUTH' is secret, and not in 'env' of expressions
    5 |   b: {run: x, env: {v: '${{ env.AUTH }}'}}
      |                         ^^^^^^^^^^^^^^^ write the secret itself: ${{ secrets.NAME }}

secrets: [TOKEN]
defaults: {env: {AUTH: 'Bearer ${{ secrets.TOK }}'}}
nodes:
  a: {run: x}
--
p.yaml:2:32: 'secrets' has no 'TOK'
    2 | defaults: {env: {AUTH: 'Bearer ${{ secrets.TOK }}'}}
      |                                ^^^^^^^^^^^^^^^^^^ did you mean 'TOKEN'?
"""  # noqa: E501


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(text: str) -> Pipeline:
    Path("p.yaml").write_text(text, encoding="utf-8")
    return read_pipeline("p.yaml")[0]


def diagnostics_of(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        read(text)
    return render_all(caught.value.diagnostics, limit=1000)


@pytest.mark.parametrize("case", REFUSED.strip("\n").split("\n\n"))
def test_diagnostics(case: str) -> None:
    text, message = case.split("\n--\n")
    assert diagnostics_of(text + "\n") == message


def test_a_whole_file() -> None:
    Path("steps.py").write_text("def split(table): ...\n")
    pipeline = read("""\
name: flights
description: Why?
params:
  month: 1
  carrier: {default: UA, enum: [UA, DL], help: Airline}
  day: {type: integer}
  ratio: {type: number, default: 1}
env: {TZ: UTC, N: 1, ON: true}
defaults: {retries: 1, timeout: 1m, env: {A: 1, B: 2}}
nodes:
  flights:
    read: data/*.parquet
    with: {columns: [month, "${{ params.carrier }}"]}
  split:
    python: steps:split
    inputs: {table: flights}
    outputs: [early, late]
    retries: {max: 3, delay: 200ms, jitter: 0}
    timeout: 1.5h
  late:
    run: cp "$NFRUN_INPUT_late" "$NFRUN_OUTPUT"
    inputs: [split.late, flights]
    needs: lone
    env: {B: 3}
    format: csv
    resources: {cpu: 2}
    description: Late ones
  lone: {run: x, outputs: [only], retries: 0}
  save: {write: out.csv, inputs: lone}
""")
    nodes = pipeline.nodes
    assert (pipeline.name, pipeline.description, pipeline.file) == ("flights", "Why?", "p.yaml")
    assert pipeline.folder == str(Path.cwd())
    assert pipeline.env == {"TZ": "UTC", "N": "1", "ON": "true"}
    assert pipeline.params == {
        "month": Param("month", "integer", 1),
        "carrier": Param("carrier", "string", "UA", enum=("UA", "DL"), help="Airline"),
        "day": Param("day", "integer", None, required=True),
        "ratio": Param("ratio", "number", 1),
    }
    assert nodes["flights"].with_ == {"columns": ["month", "${{ params.carrier }}"]}
    assert nodes["split"].outputs == ("early", "late")
    assert nodes["split"].output_ids == ("split.early", "split.late")
    assert nodes["split"].retry == Retry(max=3, delay=0.2, jitter=0.0)
    assert (nodes["split"].timeout, nodes["late"].timeout) == (5400.0, 60.0)
    assert nodes["late"].inputs == (Input("late", OutputId("split", "late")), Input("flights", OutputId("flights")))
    assert nodes["late"].upstream == ("split", "flights", "lone")
    assert nodes["late"].env == {"A": "1", "B": "3"}
    assert (nodes["late"].format, nodes["late"].cpu, nodes["late"].retry) == ("csv", 2.0, Retry(max=1))
    assert nodes["lone"].retry == Retry()
    assert nodes["save"].inputs == (Input("lone", OutputId("lone", "only")),)
    assert pipeline.outputs == {"split.early": "split.early", "late": "late", "save": "save"}


def test_outputs_that_are_named() -> None:
    text = "outputs: {x: s.p, one: o}\nnodes:\n  s: {run: x, outputs: [p, q]}\n  o: {run: x, outputs: [r]}\n"
    assert read(text).outputs == {"x": "s.p", "one": "o.r"}
    assert read("outputs: {}\nnodes:\n  a: {run: x}\n").outputs == {}


def test_the_default_name_is_the_name_of_the_file() -> None:
    assert read("nodes:\n  a: {run: x}\n").name == "p"


def test_a_whole_number_written_with_a_point() -> None:
    pipeline = read("nodes:\n  a: {run: x, retries: 2.0}\n  b: {run: x, retries: {max: 3.0}}\n")
    assert [repr(node.retry.max) for node in pipeline.nodes.values()] == ["2", "3"]


def test_seconds() -> None:
    assert [to_seconds(value) for value in ("200ms", "30s", "10m", "1.5h", "1d", 3, 0.5)] == [
        *(0.2, 30.0, 600.0, 5400.0, 86400.0),
        *(3.0, 0.5),
    ]


def test_a_missing_file() -> None:
    with pytest.raises(SpecError) as caught:
        read_pipeline("nope.yaml")
    assert "nope.yaml" in render_all(caught.value.diagnostics)


def test_a_cycle_of_10000_nodes_has_a_short_message() -> None:
    names = [f"{'n' * 55}{i}" for i in range(10_000)]
    pairs = zip(names, [*names[1:], names[0]], strict=True)
    message = diagnostics_of("nodes:\n" + "".join(f"  {a}: {{run: x, inputs: {b}}}\n" for a, b in pairs))
    assert message.startswith("p.yaml:2:3: these nodes need one another in a circle: nnn")
    assert message.endswith("^ remove one of these references")
    assert len(message) < 2048


def test_of_300_diagnostics_50_are_shown() -> None:
    text = "nodes:\n" + "".join(f"  n{i}: {{run: x, inputs: zz{i}, retries: -1}}\n" for i in range(150))
    Path("p.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        read_pipeline("p.yaml")
    assert len(caught.value.diagnostics) == 300
    rendered = render_all(caught.value.diagnostics)
    assert rendered.count("p.yaml:") == 50
    assert rendered.endswith("\n… and 250 more problems")


def test_many_unknown_names_are_reported_fast() -> None:
    nodes = "".join(f"  n{i}: {{run: x, inputs: m{i}, with: {{v: '${{{{ params.q{i} }}}}'}}}}\n" for i in range(1000))
    params = ", ".join(f"p{i}: 1" for i in range(1000))
    Path("p.yaml").write_text(f"params: {{{params}}}\nnodes:\n{nodes}")
    with pytest.raises(SpecError) as caught:
        read_pipeline("p.yaml")
    assert len(caught.value.diagnostics) == 2000
    assert max(len(render(diagnostic)) for diagnostic in caught.value.diagnostics) < 1000
    # Only 50 diagnostics are shown. After the 50th, the loader does not look for similar names.
    assert not any(diagnostic.hint for diagnostic in caught.value.diagnostics if "reads" in diagnostic.message)


def test_long_names_are_shortened_in_messages() -> None:
    long = "x" * 3000
    for node in (
        f"{{run: x, inputs: {long}}}",
        f"{{run: x, needs: [{long}]}}",
        f"{{run: x, timeout: {long}}}",
        f"{{run: x, format: {long}}}",
        f"{{python: {long}}}",
        f"{{python: 'm:{long}'}}",
        f"{{python: '{long}:f'}}",
        f"{{read: {long}}}",
        f"{{run: x, with: {{v: '${{{{ {long} }}}}'}}}}",
        f"{{run: x, with: {{v: '${{{{ params.{long} }}}}'}}}}",
        f"{{run: x, with: {{v: '${{{{ 1 | {long} }}}}'}}}}",
        f"{{run: x, outputs: [{long}, {long}]}}",
    ):
        assert len(diagnostics_of(f"nodes:\n  b: {node}\n")) < 1500, node


def test_control_characters_never_reach_the_terminal() -> None:
    for text in (
        'nodes:\n  a: {run: x, inputs: "b\x1b[31m"}\n',
        'nodes:\n  a: {run: x, inputs: "\\e[31m"}\n',
        'nodes:\n  "a\u202e": {run: x, "k\u2066": 1, with: {"v\u200f": "${{ \u202eq }}"}}\n',
        'nodes:\n  a: {read: "x\u202e.cvs"}\n  b: {python: "m\u202e:f"}\n  c: {run: x, format: "c\u202e"}\n',
        'params: {x: {type: "\u202e", default: 1, enum: ["\u202e"]}}\nnodes:\n  a: {run: x, inputs: "\u202e"}\n',
        'name: "\u202e"\n"\u202e": 1\nnodes:\n  a: {run: x, needs: ["\u202e"], retries: "\u202e"}\n',
    ):
        assert diagnostics_of(text).replace("\n", "").isprintable()


def test_an_error_in_an_anchor_is_reported_once() -> None:
    aliases = "".join(f"  n{i}: *a\n" for i in range(50))
    assert diagnostics_of("nodes:\n  a: &a {run: x, retries: -1}\n" + aliases).count("p.yaml:") == 1


# -- documents shaped like pipelines -----------------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        *("a", "b", "split", "split.late", "late", "A", "m:f", "steps:split", "x.csv", "x", "1s", "0s", "3", "thread"),
        *("${{ params.x }}", "${{ env.Y }}", "${{", "${{ q }} }}", "{{ params.x }}", "", " ", "a\n", "\u202e", "class"),
        *("csv", "integer", "con", "é", "a, b", "../x.parquet", "s3://b/x.csv", "x" * 300),
    ]
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-2, 200), st.floats(-1, 1e9), WORDS)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=5
)
NAMES = st.sampled_from(["a", "b", "split", "late", "A", "run", "con", "1", "é"])
REFERENCES = st.one_of(
    WORDS, st.lists(WORDS, max_size=3), st.dictionaries(NAMES, WORDS, max_size=3), st.lists(NAMES, max_size=3)
)
NODES = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            **{key: st.one_of(WORDS, WORDS, VALUES) for key in node_keys()},
            "inputs": st.one_of(REFERENCES, VALUES),
            "needs": st.one_of(REFERENCES, VALUES),
            "outputs": st.one_of(st.lists(NAMES, max_size=3), VALUES),
            "with": st.dictionaries(NAMES, VALUES, max_size=2),
            "retries": st.one_of(st.dictionaries(st.sampled_from(["max", "delay", "backoff"]), SCALARS), VALUES),
            "input": VALUES,
        },
    ),
    st.builds(lambda kind, body, rest: {kind: body, **rest}, st.sampled_from([*KINDS]), WORDS, st.just({})),
    VALUES,
)
DOCUMENTS = st.one_of(
    st.fixed_dictionaries(
        {"nodes": st.dictionaries(NAMES, NODES, max_size=4)},
        optional={
            "params": st.one_of(
                st.dictionaries(
                    NAMES, st.dictionaries(st.sampled_from(["type", "default", "enum", "help"]), VALUES, max_size=3)
                ),
                VALUES,
            ),
            "env": VALUES,
            "outputs": st.one_of(st.dictionaries(NAMES, WORDS, max_size=2), VALUES),
            "defaults": st.one_of(st.dictionaries(st.sampled_from(node_keys()), VALUES, max_size=2), VALUES),
            "name": VALUES,
            "node": VALUES,
        },
    ),
    VALUES,
)


def as_yaml(value: Any) -> str:
    """The value as YAML, mappings in block style, so that the text has many lines."""
    import json

    if isinstance(value, dict) and value:
        return "".join(
            f"\n{json.dumps(key)}:" + as_yaml(item).replace("\n", "\n  ")
            if item is not None
            else f"\n{json.dumps(key)}:"
            for key, item in value.items()
        )
    return f" {json.dumps(value)}"


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(DOCUMENTS)
@example({"nodes": {"a": {"outputs": {"a\n": {"a": None}}}}})  # a message has one line
def test_any_document_gives_a_pipeline_or_diagnostics(document: Any) -> None:
    text = as_yaml(document).lstrip("\n") + "\n"
    lines = text.split("\n")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            pipeline, _ = read_pipeline(path)
        except SpecError as error:
            assert error.diagnostics
            assert len(set(error.diagnostics)) == len(error.diagnostics)
            for diagnostic in error.diagnostics:
                span = diagnostic.span
                assert span.file == str(path)
                if span.line:
                    assert span.text == lines[span.line - 1]
                    assert 1 <= span.column <= len(span.text) + 1
                    assert 1 <= span.length <= max(1, len(span.text) - span.column + 1)
                else:
                    assert "the file is empty" in diagnostic.message
                assert diagnostic.message and "\n" not in diagnostic.message + diagnostic.hint
                assert len(render(diagnostic)) < 2500
                assert render(diagnostic).replace("\n", "").isprintable()
        else:
            assert all(node.kind and node.body for node in pipeline.nodes.values())


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text("${}params.x[]'\"|+*%()-_~ 1a,:<>=\n", max_size=30))
def test_any_text_in_an_expression(code: str) -> None:
    """Evaluating any text gives a value or an ExpressionError with a message of one line."""
    from nfrun.pipeline_file.expressions import ExpressionError, check

    text = "${{" + code + "}}"
    names = {"params": {"x": 3}, "env": {}, "run": {}}
    findings = list(check(text, names))
    assert all(finding.message and 0 <= finding.start < len(text) for finding in findings)
    try:
        evaluate(text, names)
    except ExpressionError as error:
        assert str(error) and "\n" not in str(error)


def test_an_error_in_a_node_is_not_reported_for_its_readers(tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text("def load(): ...\ndef join(a, b): ...\n")
    path = tmp_path / "p.yaml"
    path.write_text(
        "nodes:\n  a: {python: 'steps:load', input: x}\n  b: {python: 'steps:load', outputs: []}\n"
        "  c: {python: 'steps:join', inputs: [a, b]}\n"
    )
    with pytest.raises(SpecError) as caught:
        read_pipeline(path)
    assert [diagnostic.message for diagnostic in caught.value.diagnostics] == [
        "'input' is not a key of a node",
        "'outputs' is empty",
    ]


def test_at_most_ten_errors_are_reported_for_one_string(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    for text in ("{{ params.p }}", "${{ params.nope }}"):
        file.write_text(
            f'params: {{p: {{default: x}}}}\nnodes: {{a: {{python: "m:f", with: {{n: "{text * 5000}"}}}}}}\n'
        )
        with pytest.raises(SpecError) as caught:
            read_pipeline(file)
        assert len([diagnostic for diagnostic in caught.value.diagnostics if "module" not in diagnostic.message]) == 10


def test_a_package_in_editable_mode_cannot_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "site-packages" / "made_up-1.dist-info"
    info.mkdir(parents=True)
    (info / "direct_url.json").write_text('{"dir_info": {"editable": true}, "url": "file:///made/up"}')
    monkeypatch.syspath_prepend(info.parent)
    (tmp_path / "p.yaml").write_text("nodes:\n  a: {run: x, packages: [made-up]}\n")
    with pytest.raises(SpecError) as raised:
        read_pipeline(tmp_path / "p.yaml")
    assert render_all(raised.value.diagnostics).endswith(
        "p.yaml:2:26: the package 'made-up' is installed in editable mode, "
        "so its version does not tell its content\n"
        "    2 |   a: {run: x, packages: [made-up]}\n"
        "      |                          ^^^^^^^ remove it: the code that a Python node imports from it counts anyway"
    )
