"""Every rule of the schema, with typical errors: the exact message, its source span, and that it comes once."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from nfrun.core.errors import SpecError, render_all
from nfrun.nodes.registry import written_kinds
from nfrun.nodes.schemas import document_schema, fast_validator
from nfrun.pipeline_file import schema
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.pipeline_file.schema import check_setting
from nfrun.pipeline_file.suggestions import node_keys
from nfrun.pipeline_file.yaml.document import load, parse
from nfrun.tables.formats import FORMATS

SCHEMA = json.loads(document_schema("pipeline"))

BASE = ["# a pipeline", "nodes:", "  a: {run: x}", "  s: {run: x, outputs: [early, late]}"]

# Each message shows the line that it is about. The test writes this line into BASE, at the line number shown, and
# expects the message.
MESSAGES = r"""
p.yaml:5:6: node 'b' must be a mapping, not 'hello'
    5 |   b: hello
      |      ^^^^^ for example b: {python: steps:clean, inputs: flights}

p.yaml:5:6: node 'b' must be a mapping, not 3
    5 |   b: 3
      |      ^ for example b: {python: steps:clean, inputs: flights}

p.yaml:5:6: node 'b' must be a mapping, not a list
    5 |   b: [run, x]
      |      ^^^^^^^^ for example b: {python: steps:clean, inputs: flights}

p.yaml:5:3: node 'b' is empty
    5 |   b:
      |   ^ for example b: {python: steps:clean, inputs: flights}

p.yaml:5:3: node 'b' has no kind
    5 |   b: {}
      |   ^ give it one of KINDS

p.yaml:5:3: node 'b' has no kind
    5 |   b: {description: x}
      |   ^ give it one of KINDS

p.yaml:5:7: 'command' is not a key of a node
    5 |   b: {command: x}
      |       ^^^^^^^ did you mean 'run'?

p.yaml:5:7: 'cmd' is not a key of a node
    5 |   b: {cmd: x, deps: [a], outs: [c]}
      |       ^^^ did you mean 'run'?
p.yaml:5:15: 'deps' is not a key of a node
    5 |   b: {cmd: x, deps: [a], outs: [c]}
      |               ^^^^ did you mean 'files'? nodes that it waits for go under 'needs'
p.yaml:5:26: 'outs' is not a key of a node
    5 |   b: {cmd: x, deps: [a], outs: [c]}
      |                          ^^^^ did you mean 'outputs'?

p.yaml:5:7: 'RUN' is not a key of a node
    5 |   b: {RUN: x}
      |       ^^^ did you mean 'run'?

p.yaml:5:7: 'uses' is not a key of a node
    5 |   b: {uses: actions/checkout@v4}
      |       ^^^^ did you mean 'use'?

p.yaml:5:7: 'model' is not a key of a node
    5 |   b: {model: gpt}
      |       ^^^^^ there is KINDS, inputs, with, outputs, schema, checks and 17 more

p.yaml:5:7: 'http' is not a key of a node
    5 |   b: {http: https://x}
      |       ^^^^ there is KINDS, inputs, with, outputs, schema, checks and 17 more

p.yaml:5:17: 'x.yaml': there is no such file
    5 |   b: {pipeline: x.yaml}
      |                 ^^^^^^ check the path

p.yaml:5:15: node 'b' has 2 kinds: run, python
    5 |   b: {run: x, python: m:f}
      |               ^^^^^^ a node is one of them; make it several nodes

p.yaml:5:15: node 'b' has 3 kinds: run, sql, read
    5 |   b: {run: x, sql: y, read: z.csv}
      |               ^^^ a node is one of them; make it several nodes

p.yaml:5:15: 'python' must be a string, not 3
    5 |   b: {python: 3}
      |               ^ for example python: steps:split

p.yaml:5:7: 'python' is empty
    5 |   b: {python: }
      |       ^^^^^^ for example python: steps:split

p.yaml:5:15: 'python' is empty
    5 |   b: {python: ''}
      |               ^^ for example python: steps:split

p.yaml:5:15: 'python' cannot be 'steps'
    5 |   b: {python: steps}
      |               ^^^^^ write module:function, such as steps:split

p.yaml:5:15: 'python' cannot be 'steps.clean'
    5 |   b: {python: steps.clean}
      |               ^^^^^^^^^^^ write module:function, such as steps:split

p.yaml:5:15: 'python' cannot be 'steps:clean()'
    5 |   b: {python: 'steps:clean()'}
      |               ^^^^^^^^^^^^^^^ write module:function, such as steps:split

p.yaml:5:15: 'python' cannot be './lib/steps.py:clean'
    5 |   b: {python: ./lib/steps.py:clean}
      |               ^^^^^^^^^^^^^^^^^^^^ write module:function, such as steps:split

p.yaml:5:15: 'python' cannot be 'steps: clean'
    5 |   b: {python: 'steps: clean'}
      |               ^^^^^^^^^^^^^^ write module:function, such as steps:split

p.yaml:5:15: 'python' cannot be 'steps::clean'
    5 |   b: {python: steps::clean}
      |               ^^^^^^^^^^^^ write module:function, such as steps:split

p.yaml:5:15: 'python' cannot be ':clean'
    5 |   b: {python: ':clean'}
      |               ^^^^^^^^ write module:function, such as steps:split

p.yaml:5:15: 'python' must be a string, not a list
    5 |   b: {python: [steps, clean]}
      |               ^^^^^^^^^^^^^^ for example python: steps:split

p.yaml:5:15: 'python' must be a string, not a mapping
    5 |   b: {python: {module: steps}}
      |               ^^^^^^^^^^^^^^^ for example python: steps:split

p.yaml:5:12: 'sql' is empty
    5 |   b: {sql: ''}
      |            ^^ for example sql: select * from flights

p.yaml:5:12: 'sql' is empty
    5 |   b: {sql: '  '}
      |            ^^^^ for example sql: select * from flights

p.yaml:5:12: 'sql' must be a string, not 3
    5 |   b: {sql: 3}
      |            ^ put it in quotes

p.yaml:5:12: 'sql' must be a string, not a mapping
    5 |   b: {sql: {query: x}}
      |            ^^^^^^^^^^ for example sql: select * from flights

p.yaml:5:7: 'run' is empty
    5 |   b: {run: }
      |       ^^^ for example run: sort $NFRUN_INPUT_flights > $NFRUN_OUTPUT

p.yaml:5:12: 'run' is empty
    5 |   b: {run: ' '}
      |            ^^^ for example run: sort $NFRUN_INPUT_flights > $NFRUN_OUTPUT

p.yaml:5:12: 'run' must be a string, not a list
    5 |   b: {run: [ls, -l]}
      |            ^^^^^^^^ for example run: sort $NFRUN_INPUT_flights > $NFRUN_OUTPUT

p.yaml:5:12: 'run' must be a string, not true
    5 |   b: {run: true}
      |            ^^^^ put it in quotes

p.yaml:5:13: 'read' is empty
    5 |   b: {read: ''}
      |             ^^ for example read: data/*.parquet

p.yaml:5:13: 'read' must be a string, not a list
    5 |   b: {read: [a.csv, b.csv]}
      |             ^^^^^^^^^^^^^^ for example read: data/*.parquet

p.yaml:5:13: 'read' must be a string, not a mapping
    5 |   b: {read: {path: a.csv}}
      |             ^^^^^^^^^^^^^ for example read: data/*.parquet

p.yaml:5:13: 'read' must be a string, not 3
    5 |   b: {read: 3}
      |             ^ put it in quotes

p.yaml:5:7: 'write' is empty
    5 |   b: {write: }
      |       ^^^^^ for example write: out/late.parquet

p.yaml:5:14: 'write' must be a string, not 3
    5 |   b: {write: 3}
      |              ^ put it in quotes

p.yaml:5:15: 'inputs' is empty
    5 |   b: {run: x, inputs: }
      |               ^^^^^^ for example inputs: {table: clean}

p.yaml:5:23: 'inputs' must be a string, a list or a mapping, not 3
    5 |   b: {run: x, inputs: 3}
      |                       ^ for example inputs: {table: clean}

p.yaml:5:23: 'inputs' cannot be 'a, s.late'
    5 |   b: {run: x, inputs: 'a, s.late'}
      |                       ^^^^^^^^^^^ write node, or node.output

p.yaml:5:23: 'inputs' cannot be 'a s.late'
    5 |   b: {run: x, inputs: a s.late}
      |                       ^^^^^^^^ write node, or node.output

p.yaml:5:23: 'inputs' cannot be 's.late.x'
    5 |   b: {run: x, inputs: s.late.x}
      |                       ^^^^^^^^ write node, or node.output

p.yaml:5:23: 'inputs' cannot be 'data/a.csv'
    5 |   b: {run: x, inputs: data/a.csv}
      |                       ^^^^^^^^^^ a file is read by a node of its own, as in 'read: data.csv', or stands under 'files'

p.yaml:5:24: an item of 'inputs' must be a string, not a mapping
    5 |   b: {run: x, inputs: [{table: a}]}
      |                        ^^^^^^^^^^ write node, or node.output

p.yaml:5:24: an item of 'inputs' must be a string, not 3
    5 |   b: {run: x, inputs: [3]}
      |                        ^ write node, or node.output

p.yaml:5:24: 'table' is empty
    5 |   b: {run: x, inputs: {table: }}
      |                        ^^^^^ write node, or node.output

p.yaml:5:31: 'table' must be a string or a mapping, not a list
    5 |   b: {run: x, inputs: {table: [a]}}
      |                               ^^^ write node, or node.output

p.yaml:5:24: 'my-table' cannot be a name in 'inputs'
    5 |   b: {run: x, inputs: {my-table: a}}
      |                        ^^^^^^^^ a name has letters, digits and _, and does not start with a digit

p.yaml:5:31: 'table' must be a string or a mapping, not 3
    5 |   b: {run: x, inputs: {table: 3}}
      |                               ^ write node, or node.output

p.yaml:5:23: 'inputs' cannot be 'a\n'
    5 |   b: {run: x, inputs: "a\n"}
      |                       ^^^^^ write node, or node.output

p.yaml:5:15: 'with' is empty
    5 |   b: {run: x, with: }
      |               ^^^^ for example with: {month: 1}

p.yaml:5:21: 'with' must be a mapping, not a list
    5 |   b: {run: x, with: [a]}
      |                     ^^^ for example with: {month: 1}

p.yaml:5:21: 'with' must be a mapping, not 'a'
    5 |   b: {run: x, with: a}
      |                     ^ for example with: {month: 1}

p.yaml:5:22: 'my-name' cannot be a name in 'with'
    5 |   b: {run: x, with: {my-name: 3}}
      |                      ^^^^^^^ a name has letters, digits and _, and does not start with a digit

p.yaml:5:22: '1a' cannot be a name in 'with'
    5 |   b: {run: x, with: {1a: 3}}
      |                      ^^ a name has letters, digits and _, and does not start with a digit

p.yaml:5:22: 'a\n' cannot be a name in 'with'
    5 |   b: {run: x, with: {"a\n": 3}}
      |                      ^^^^^ a name has letters, digits and _, and does not start with a digit

p.yaml:5:24: 'outputs' must be a list or a mapping, not 'x'
    5 |   b: {run: x, outputs: x}
      |                        ^ for example outputs: [early, late]

p.yaml:5:15: 'outputs' is empty
    5 |   b: {run: x, outputs: }
      |               ^^^^^^^ for example outputs: [early, late]

p.yaml:5:24: 'outputs' is empty
    5 |   b: {run: x, outputs: []}
      |                        ^^ for example outputs: [early, late]

p.yaml:5:31: 'outputs' has 'p' twice
    5 |   b: {run: x, outputs: [p, q, p]}
      |                               ^

p.yaml:5:25: an item of 'outputs' cannot be 'a-b'
    5 |   b: {run: x, outputs: [a-b]}
      |                         ^^^ a name has letters, digits and _, and does not start with a digit

p.yaml:5:28: 'p' cannot be 'q'
    5 |   b: {run: x, outputs: {p: q}}
      |                            ^ there is table, file, folder, or an ending such as .pkl

p.yaml:5:28: 'p' cannot be 'dir'
    5 |   b: {run: x, outputs: {p: dir}}
      |                            ^^^ there is table, file, folder, or an ending such as .pkl

p.yaml:5:35: 'type' cannot be 'out/x.csv'
    5 |   b: {run: x, outputs: {p: {type: out/x.csv}}}
      |                                   ^^^^^^^^^ these are names; 'outputs: {name: file}' hands a file on, and a 'write' node writes one

p.yaml:5:29: 'typ' is not a key of 'p'
    5 |   b: {run: x, outputs: {p: {typ: file}}}
      |                             ^^^ did you mean 'type'?

p.yaml:5:24: 'outputs' is empty
    5 |   b: {run: x, outputs: {}}
      |                        ^^ for example outputs: [early, late]

p.yaml:5:28: 'p' must be a string or a mapping, not 3
    5 |   b: {run: x, outputs: {p: 3}}
      |                            ^ for example p: .pkl

p.yaml:5:25: 'a-b' cannot be a name in 'outputs'
    5 |   b: {run: x, outputs: {a-b: file}}
      |                         ^^^ a name has letters, digits and _, and does not start with a digit

p.yaml:5:28: '.x.partial' is the ending of files that nfrun has not finished or does not use
    5 |   b: {run: x, outputs: {p: .x.partial}}
      |                            ^^^^^^^^^^ name another

p.yaml:5:34: 'P' differs from 'p' only in case
    5 |   b: {run: x, outputs: {p: file, P: .pkl}}
      |                                  ^ files would clash on some systems: rename one

p.yaml:5:25: an item of 'outputs' must be a string, not 1
    5 |   b: {run: x, outputs: [1]}
      |                         ^ a name has letters, digits and _, and does not start with a digit

p.yaml:5:28: 'P' differs from 'p' only in case
    5 |   b: {run: x, outputs: [p, P]}
      |                            ^ files would clash on some systems: rename one

p.yaml:5:15: 'needs' is empty
    5 |   b: {run: x, needs: }
      |               ^^^^^ for example needs: clean

p.yaml:5:22: 'needs' must be a string or a list, not 3
    5 |   b: {run: x, needs: 3}
      |                      ^ for example needs: clean

p.yaml:5:22: 'needs' must be a string or a list, not a mapping
    5 |   b: {run: x, needs: {a: b}}
      |                      ^^^^^^ for example needs: clean

p.yaml:5:22: 'needs' cannot be 'a, s'
    5 |   b: {run: x, needs: 'a, s'}
      |                      ^^^^^^ write the name of a node

p.yaml:5:22: 'needs' cannot be 's.late'
    5 |   b: {run: x, needs: s.late}
      |                      ^^^^^^ write the name of a node

p.yaml:5:26: an item of 'needs' must be a string, not 3
    5 |   b: {run: x, needs: [a, 3]}
      |                          ^ write the name of a node

p.yaml:5:23: an item of 'needs' cannot be 'a b'
    5 |   b: {run: x, needs: ['a b']}
      |                       ^^^^^ write the name of a node

p.yaml:5:24: 'retries' must be at least 0, not -1
    5 |   b: {run: x, retries: -1}
      |                        ^^

p.yaml:5:24: 'retries' must be at most 100, not 1000
    5 |   b: {run: x, retries: 1000}
      |                        ^^^^

p.yaml:5:24: 'retries' must be a whole number or a mapping, not '3'
    5 |   b: {run: x, retries: "3"}
      |                        ^^^ remove the quotes

p.yaml:5:24: 'retries' needs 'max'
    5 |   b: {run: x, retries: {}}
      |                        ^^ for example retries: {max: 3, delay: 1s}

p.yaml:5:24: 'retries' must be a whole number or a mapping, not 2.5
    5 |   b: {run: x, retries: 2.5}
      |                        ^^^ for example retries: {max: 3, delay: 1s}

p.yaml:5:24: 'retries' must be a whole number or a mapping, not true
    5 |   b: {run: x, retries: true}
      |                        ^^^^ for example retries: {max: 3, delay: 1s}

p.yaml:5:24: 'retries' must be a whole number or a mapping, not a list
    5 |   b: {run: x, retries: [1]}
      |                        ^^^ for example retries: {max: 3, delay: 1s}

p.yaml:5:15: 'retries' is empty
    5 |   b: {run: x, retries: }
      |               ^^^^^^^ for example retries: {max: 3, delay: 1s}

p.yaml:5:33: 'dealy' is not a key of 'retries'
    5 |   b: {run: x, retries: {max: 3, dealy: 1}}
      |                                 ^^^^^ did you mean 'delay'?

p.yaml:5:40: 'delay' cannot be '1 sec'
    5 |   b: {run: x, retries: {max: 3, delay: 1 sec}}
      |                                        ^^^^^ write 200ms, 30s, 10m, 1.5h, or a number of seconds

p.yaml:5:40: 'delay' must be at least 0, not -1
    5 |   b: {run: x, retries: {max: 3, delay: -1}}
      |                                        ^^

p.yaml:5:24: 'retries' needs 'max'
    5 |   b: {run: x, retries: {delay: 1s}}
      |                        ^^^^^^^^^^^ for example retries: {max: 3, delay: 1s}

p.yaml:5:42: 'backoff' must be at least 1, not 0.5
    5 |   b: {run: x, retries: {max: 3, backoff: 0.5}}
      |                                          ^^^

p.yaml:5:41: 'jitter' must be at most 1, not 2
    5 |   b: {run: x, retries: {max: 3, jitter: 2}}
      |                                         ^

p.yaml:5:30: 'max' must be a whole number, not '3'
    5 |   b: {run: x, retries: {max: '3'}}
      |                              ^^^ remove the quotes

p.yaml:5:24: 'retries' needs 'max'
    5 |   b: {run: x, retries: {count: 3}}
      |                        ^^^^^^^^^^ for example retries: {max: 3, delay: 1s}
p.yaml:5:25: 'count' is not a key of 'retries'
    5 |   b: {run: x, retries: {count: 3}}
      |                         ^^^^^ there is max, delay, backoff, max_delay, jitter

p.yaml:5:30: 'max' must be at most 100, not 101
    5 |   b: {run: x, retries: {max: 101}}
      |                              ^^^

p.yaml:5:33: 'delay' is empty
    5 |   b: {run: x, retries: {max: 3, delay: }}
      |                                 ^^^^^ for example delay: 1s

p.yaml:5:44: 'max_delay' is longer than a year
    5 |   b: {run: x, retries: {max: 3, max_delay: 400d}}
      |                                            ^^^^

p.yaml:5:24: 'timeout' must be more than 0, not 0
    5 |   b: {run: x, timeout: 0}
      |                        ^

p.yaml:5:24: 'timeout' must be more than 0, not -3
    5 |   b: {run: x, timeout: -3}
      |                        ^^

p.yaml:5:24: 'timeout' cannot be '0s'
    5 |   b: {run: x, timeout: 0s}
      |                        ^^ write 200ms, 30s, 10m, 1.5h, or a number of seconds

p.yaml:5:24: 'timeout' cannot be '0.0h'
    5 |   b: {run: x, timeout: 0.0h}
      |                        ^^^^ write 200ms, 30s, 10m, 1.5h, or a number of seconds

p.yaml:5:24: 'timeout' cannot be '30 sec'
    5 |   b: {run: x, timeout: 30 sec}
      |                        ^^^^^^ write 200ms, 30s, 10m, 1.5h, or a number of seconds

p.yaml:5:24: 'timeout' cannot be '5 minutes'
    5 |   b: {run: x, timeout: 5 minutes}
      |                        ^^^^^^^^^ write 200ms, 30s, 10m, 1.5h, or a number of seconds

p.yaml:5:24: 'timeout' cannot be '30S'
    5 |   b: {run: x, timeout: 30S}
      |                        ^^^ write 200ms, 30s, 10m, 1.5h, or a number of seconds

p.yaml:5:24: 'timeout' cannot be '1h30m'
    5 |   b: {run: x, timeout: 1h30m}
      |                        ^^^^^ write 200ms, 30s, 10m, 1.5h, or a number of seconds

p.yaml:5:24: 'timeout' cannot be '30'
    5 |   b: {run: x, timeout: '30'}
      |                        ^^^^ write 200ms, 30s, 10m, 1.5h, or a number of seconds

p.yaml:5:24: 'timeout' must be a string or a number, not true
    5 |   b: {run: x, timeout: true}
      |                        ^^^^ for example timeout: 30s

p.yaml:5:24: 'timeout' must be a string or a number, not a list
    5 |   b: {run: x, timeout: [30s]}
      |                        ^^^^^ for example timeout: 30s

p.yaml:5:15: 'timeout' is empty
    5 |   b: {run: x, timeout: }
      |               ^^^^^^^ for example timeout: 30s

p.yaml:5:24: 'timeout' must be a string or a number, not a mapping
    5 |   b: {run: x, timeout: {seconds: 3}}
      |                        ^^^^^^^^^^^^ for example timeout: 30s

p.yaml:5:24: 'timeout' cannot be '1:30'
    5 |   b: {run: x, timeout: 1:30}
      |                        ^^^^ write 200ms, 30s, 10m, 1.5h, or a number of seconds

p.yaml:5:24: 'timeout' cannot be 'PT5M'
    5 |   b: {run: x, timeout: PT5M}
      |                        ^^^^ write 200ms, 30s, 10m, 1.5h, or a number of seconds

p.yaml:5:24: 'timeout' cannot be '.5s'
    5 |   b: {run: x, timeout: .5s}
      |                        ^^^ write 200ms, 30s, 10m, 1.5h, or a number of seconds

p.yaml:5:24: 'timeout' cannot be '1 month'
    5 |   b: {run: x, timeout: 1 month}
      |                        ^^^^^^^ write 200ms, 30s, 10m, 1.5h, or a number of seconds

p.yaml:5:24: 'timeout' cannot be '99999999999s'
    5 |   b: {run: x, timeout: 99999999999s}
      |                        ^^^^^^^^^^^^ write 200ms, 30s, 10m, 1.5h, or a number of seconds

p.yaml:5:24: 'timeout' is longer than a year
    5 |   b: {run: x, timeout: 9223372036854775807}
      |                        ^^^^^^^^^^^^^^^^^^^

p.yaml:5:24: 'timeout' cannot be '3s\n'
    5 |   b: {run: x, timeout: "3s\n"}
      |                        ^^^^^^ write 200ms, 30s, 10m, 1.5h, or a number of seconds

p.yaml:5:23: 'format' must be arrow, csv, jsonl or parquet, not 'cvs'
    5 |   b: {run: x, format: cvs}
      |                       ^^^ did you mean 'csv'?

p.yaml:5:23: 'format' must be arrow, csv, jsonl or parquet, not 'CSV'
    5 |   b: {run: x, format: CSV}
      |                       ^^^ did you mean 'csv'?

p.yaml:5:23: 'format' must be arrow, csv, jsonl or parquet, not 'json'
    5 |   b: {run: x, format: json}
      |                       ^^^^ did you mean 'jsonl'?

p.yaml:5:23: 'format' must be arrow, csv, jsonl or parquet, not 'xml'
    5 |   b: {run: x, format: xml}
      |                       ^^^

p.yaml:5:23: 'format' must be arrow, csv, jsonl or parquet, not 3
    5 |   b: {run: x, format: 3}
      |                       ^

p.yaml:5:23: 'format' must be arrow, csv, jsonl or parquet, not a list
    5 |   b: {run: x, format: [csv]}
      |                       ^^^^^

p.yaml:5:15: 'format' is empty
    5 |   b: {run: x, format: }
      |               ^^^^^^

p.yaml:5:27: there is no budget for 'gpu'
    5 |   b: {run: x, resources: {gpu: 1}}
      |                           ^^^ say at the top of the file how much there is: resources: {gpu: 1}

p.yaml:5:15: 'gpu' is not a key of a node
    5 |   b: {run: x, gpu: 1}
      |               ^^^ it stands under 'resources': {gpu: 1, memory: 4GB}

p.yaml:5:15: 'max_parallel' is not a key of a node
    5 |   b: {run: x, max_parallel: 2}
      |               ^^^^^^^^^^^^ 'resources' limits what runs at once: {api: 4} at the top, and {api: 1} in a node

p.yaml:1:1: 'rate_limit' is not a key of a pipeline file
    1 | rate_limit: 50/s
      | ^^^^^^^^^^ 'resources' limits what runs at once: {api: 4} at the top, and {api: 1} in a node

p.yaml:5:27: there is no budget for 'cpus'
    5 |   b: {run: x, resources: {cpus: 1}}
      |                           ^^^^ did you mean 'cpu'?

p.yaml:5:32: 'cpu' must be more than 0, not 0
    5 |   b: {run: x, resources: {cpu: 0}}
      |                                ^

p.yaml:5:32: 'cpu' must be a number, not '2'
    5 |   b: {run: x, resources: {cpu: '2'}}
      |                                ^^^ remove the quotes

p.yaml:5:32: 'cpu' must be a number, not 'two'
    5 |   b: {run: x, resources: {cpu: two}}
      |                                ^^^

p.yaml:5:32: 'cpu' must be more than 0, not -1
    5 |   b: {run: x, resources: {cpu: -1}}
      |                                ^^

p.yaml:5:32: 'cpu' must be at most 1024, not 1025
    5 |   b: {run: x, resources: {cpu: 1025}}
      |                                ^^^^

p.yaml:5:26: 'resources' must be a mapping, not 2
    5 |   b: {run: x, resources: 2}
      |                          ^ for example resources: {cpu: 2}

p.yaml:5:15: 'resources' is empty
    5 |   b: {run: x, resources: }
      |               ^^^^^^^^^ for example resources: {cpu: 2}

p.yaml:5:25: 'executor' must be thread, process or auto, not 'proces'
    5 |   b: {run: x, executor: proces}
      |                         ^^^^^^ did you mean 'process'?

p.yaml:5:25: 'executor' must be thread, process or auto, not a list
    5 |   b: {run: x, executor: [process]}
      |                         ^^^^^^^^^

p.yaml:5:25: 'executor' must be thread, process or auto, not a mapping
    5 |   b: {run: x, executor: {process: 2}}
      |                         ^^^^^^^^^^^^

p.yaml:5:25: 'executor' must be thread, process or auto, not true
    5 |   b: {run: x, executor: true}
      |                         ^^^^

p.yaml:5:25: 'executor' must be thread, process or auto, not 'dask'
    5 |   b: {run: x, executor: dask}
      |                         ^^^^

p.yaml:5:25: 'executor' must be thread, process or auto, not 'threads'
    5 |   b: {run: x, executor: threads}
      |                         ^^^^^^^ did you mean 'thread'?

p.yaml:5:25: 'executor' must be thread, process or auto, not 3
    5 |   b: {run: x, executor: 3}
      |                         ^

p.yaml:5:15: 'executor' is empty
    5 |   b: {run: x, executor: }
      |               ^^^^^^^^

p.yaml:5:24: 'A' must be a string, a number or true or false, not a list
    5 |   b: {run: x, env: {A: [1]}}
      |                        ^^^

p.yaml:5:20: 'env' must be a mapping, not a list
    5 |   b: {run: x, env: [A=1]}
      |                    ^^^^^ for example env: {TZ: UTC}

p.yaml:5:21: 'A-B' cannot be a name in 'env'
    5 |   b: {run: x, env: {A-B: 1}}
      |                     ^^^ a name has letters, digits and _, and does not start with a digit

p.yaml:5:21: 'A' is empty
    5 |   b: {run: x, env: {A: }}
      |                     ^

p.yaml:5:20: 'env' must be a mapping, not 'A=1'
    5 |   b: {run: x, env: A=1}
      |                    ^^^ for example env: {TZ: UTC}

p.yaml:5:21: 'A=B' cannot be a name in 'env'
    5 |   b: {run: x, env: {"A=B": 1}}
      |                     ^^^^^ a name has letters, digits and _, and does not start with a digit

p.yaml:5:28: 'description' must be a string, not 3
    5 |   b: {run: x, description: 3}
      |                            ^ put it in quotes

p.yaml:5:28: 'description' must be a string, not a list
    5 |   b: {run: x, description: [x]}
      |                            ^^^ for example description: Only flights that left

p.yaml:5:15: 'description' is empty
    5 |   b: {run: x, description: }
      |               ^^^^^^^^^^^ for example description: Only flights that left

p.yaml:5:15: 'name' is not a key of a node
    5 |   b: {run: x, name: y}
      |               ^^^^ the name of a node is the key above it

p.yaml:5:15: 'id' is not a key of a node
    5 |   b: {run: x, id: y}
      |               ^^ the name of a node is the key above it

p.yaml:5:19: 'if' must be true, false or one expression
    5 |   b: {run: x, if: y}
      |                   ^ write true, false or ${{ … }}

p.yaml:5:15: 'foreach' is not a key of a node
    5 |   b: {run: x, foreach: {v: [1]}}
      |               ^^^^^^^ known values make a 'matrix': {fold: [0, 1, 2]}; the rows of an input a 'map'

p.yaml:5:22: 'cache' must be true or false, not 'yes'
    5 |   b: {run: x, cache: yes}
      |                      ^^^

p.yaml:1:1: 'cache' is not a key of a pipeline file
    1 | cache: true
      | ^^^^^ a node says it, or 'defaults' for all of them

p.yaml:5:15: 'zip' is not a key of a node
    5 |   b: {run: x, zip: [t]}
      |               ^^^ known values make a 'matrix': {fold: [0, 1, 2]}; the rows of an input a 'map'

p.yaml:5:15: 'continue-on-error' is not a key of a node
    5 |   b: {run: x, continue-on-error: true}
      |               ^^^^^^^^^^^^^^^^^ did you mean 'continue_on_error'?

p.yaml:5:15: 'trigger_rule' is not a key of a node
    5 |   b: {run: x, trigger_rule: all_done}
      |               ^^^^^^^^^^^^ an input says what happens without it: 'else' or 'optional'; 'finally' runs in any case

p.yaml:5:15: 'timeout-minutes' is not a key of a node
    5 |   b: {run: x, timeout-minutes: 3}
      |               ^^^^^^^^^^^^^^^ did you mean 'timeout'?

p.yaml:5:15: 'retry' is not a key of a node
    5 |   b: {run: x, retry: 3}
      |               ^^^^^ did you mean 'retries'?

p.yaml:5:15: 'depends_on' is not a key of a node
    5 |   b: {run: x, depends_on: [a]}
      |               ^^^^^^^^^^ did you mean 'needs'?

p.yaml:5:15: 'input' is not a key of a node
    5 |   b: {run: x, input: a}
      |               ^^^^^ did you mean 'inputs'?

p.yaml:5:15: 'output' is not a key of a node
    5 |   b: {run: x, output: q}
      |               ^^^^^^ did you mean 'outputs'?

p.yaml:5:15: 'Inputs' is not a key of a node
    5 |   b: {run: x, Inputs: a}
      |               ^^^^^^ did you mean 'inputs'?

p.yaml:5:15: 'args' is not a key of a node
    5 |   b: {run: x, args: [1]}
      |               ^^^^ did you mean 'with'?

p.yaml:5:15: 'parameters' is not a key of a node
    5 |   b: {run: x, parameters: {v: 1}}
      |               ^^^^^^^^^^ did you mean 'with'?

p.yaml:5:15: 'cwd' is not a key of a node
    5 |   b: {run: x, cwd: d}
      |               ^^^ a script starts in the pipeline's folder; use cd in it

p.yaml:5:15: 'working-directory' is not a key of a node
    5 |   b: {run: x, working-directory: d}
      |               ^^^^^^^^^^^^^^^^^ a script starts in the pipeline's folder; use cd in it

p.yaml:5:15: 'desc' is not a key of a node
    5 |   b: {run: x, desc: y}
      |               ^^^^ did you mean 'description'?

p.yaml:5:15: 'environment' is not a key of a node
    5 |   b: {run: x, environment: {A: 1}}
      |               ^^^^^^^^^^^ did you mean 'env'?

p.yaml:5:15: 'schedule' is not a key of a node
    5 |   b: {run: x, schedule: daily}
      |               ^^^^^^^^ a pipeline starts when somebody runs it; leave that to cron or CI

p.yaml:5:15: 'zzz' is not a key of a node
    5 |   b: {run: x, zzz: 1, qqq: 2}
      |               ^^^ there is KINDS, inputs, with, outputs, schema, checks and 17 more
p.yaml:5:23: 'qqq' is not a key of a node
    5 |   b: {run: x, zzz: 1, qqq: 2}
      |                       ^^^ there is KINDS, inputs, with, outputs, schema, checks and 17 more

p.yaml:5:15: 'k\u202ey' is not a key of a node
    5 |   b: {run: x, "k\u202ey": 1}
      |               ^^^^^^^^^^ there is KINDS, inputs, with, outputs, schema, checks and 17 more

p.yaml:1:7: 'name' must be a string, not 3
    1 | name: 3
      |       ^ put it in quotes

p.yaml:1:1: 'name' is empty
    1 | name:
      | ^^^^ for example name: flights

p.yaml:1:7: 'name' is empty
    1 | name: ''
      |       ^^ for example name: flights

p.yaml:1:7: 'name' is empty
    1 | name: ' '
      |       ^^^ for example name: flights

p.yaml:1:7: 'name' must be a string, not a list
    1 | name: [x]
      |       ^^^ for example name: flights

p.yaml:1:7: 'name' must be a string, not true
    1 | name: true
      |       ^^^^ put it in quotes

p.yaml:1:7: a pipeline's name is printable text on one line
    1 | name: "a\nb"
      |       ^^^^^^

p.yaml:1:7: a pipeline's name is printable text on one line
    1 | name: "a\u202eb"
      |       ^^^^^^^^^^

p.yaml:1:14: 'description' must be a string, not 3
    1 | description: 3
      |              ^ put it in quotes

p.yaml:1:1: 'title' is not a key of a pipeline file
    1 | title: x
      | ^^^^^ did you mean 'description'?

p.yaml:1:1: 'version' is not a key of a pipeline file
    1 | version: 3
      | ^^^^^^^ there is name, description, params, secrets, env, timezone, inputs, matrix, resources, defaults, profiles, nodes and 3 more

p.yaml:1:1: 'on' is not a key of a pipeline file
    1 | on: push
      | ^^ a pipeline starts when somebody runs it; leave that to cron or CI

p.yaml:1:1: 'schedule' is not a key of a pipeline file
    1 | schedule: '@daily'
      | ^^^^^^^^ a pipeline starts when somebody runs it; leave that to cron or CI

p.yaml:1:1: 'common' is not a key of a pipeline file
    1 | common: {retries: 1}
      | ^^^^^^ there is name, description, params, secrets, env, timezone, inputs, matrix, resources, defaults, profiles, nodes and 3 more

p.yaml:1:1: 'params' is empty
    1 | params:
      | ^^^^^^ for example params: {month: 1}

p.yaml:1:9: 'params' must be a mapping, not 'x'
    1 | params: x
      |         ^ for example params: {month: 1}

p.yaml:1:9: 'params' must be a mapping, not a list
    1 | params: [p, q]
      |         ^^^^^^ for example params: {month: 1}

p.yaml:1:10: 'my-x' cannot be a name in 'params'
    1 | params: {my-x: 1}
      |          ^^^^ a name has letters, digits and _, and does not start with a digit

p.yaml:1:1: 'param' is not a key of a pipeline file
    1 | param: {x: 1}
      | ^^^^^ did you mean 'params'?

p.yaml:1:1: 'vars' is not a key of a pipeline file
    1 | vars: {x: 1}
      | ^^^^ did you mean 'params'?

p.yaml:1:10: 'x\n' cannot be a name in 'params'
    1 | params: {"x\n": 1}
      |          ^^^^^ a name has letters, digits and _, and does not start with a digit

p.yaml:1:10: 'x' is empty
    1 | params: {x: }
      |          ^ for example x: {type: integer, default: 1}

p.yaml:1:13: 'x' is empty
    1 | params: {x: {}}
      |             ^^ for example x: {type: integer, default: 1}

p.yaml:1:14: 'default' is empty
    1 | params: {x: {default: }}
      |              ^^^^^^^

p.yaml:1:20: 'type' must be string, integer, number, boolean, array or object, not 'str'
    1 | params: {x: {type: str}}
      |                    ^^^ did you mean 'string'?

p.yaml:1:20: 'type' must be string, integer, number, boolean, array or object, not 'int'
    1 | params: {x: {type: int, default: 1}}
      |                    ^^^ did you mean 'integer'?

p.yaml:1:20: 'type' must be string, integer, number, boolean, array or object, not 'bool'
    1 | params: {x: {type: bool}}
      |                    ^^^^ did you mean 'boolean'?

p.yaml:1:20: 'type' must be string, integer, number, boolean, array or object, not 'float'
    1 | params: {x: {type: float}}
      |                    ^^^^^

p.yaml:1:20: 'type' must be string, integer, number, boolean, array or object, not 'date'
    1 | params: {x: {type: date, default: 2024-01-01}}
      |                    ^^^^

p.yaml:1:20: 'type' must be string, integer, number, boolean, array or object, not a list
    1 | params: {x: {type: [string, integer]}}
      |                    ^^^^^^^^^^^^^^^^^

p.yaml:1:20: 'enum' is empty
    1 | params: {x: {enum: []}}
      |                    ^^ for example enum: [UA, DL]

p.yaml:1:20: 'enum' must be a list, not 'UA'
    1 | params: {x: {enum: UA}}
      |                    ^^ for example enum: [UA, DL]

p.yaml:1:32: 'help' must be a string, not 3
    1 | params: {x: {default: 1, help: 3}}
      |                                ^ put it in quotes

p.yaml:1:26: 'required' is not a key of 'x'
    1 | params: {x: {default: 1, required: true}}
      |                          ^^^^^^^^ there is type, default, enum, help

p.yaml:1:26: 'description' is not a key of 'x'
    1 | params: {x: {default: 1, description: x}}
      |                          ^^^^^^^^^^^ there is type, default, enum, help

p.yaml:1:26: 'choices' is not a key of 'x'
    1 | params: {x: {default: 1, choices: [1]}}
      |                          ^^^^^^^ there is type, default, enum, help

p.yaml:1:14: 'value' is not a key of 'x'
    1 | params: {x: {value: 1}}
      |              ^^^^^ there is type, default, enum, help

p.yaml:1:14: 'p' is not a key of 'x'
    1 | params: {x: {p: 1, q: 2}}
      |              ^ there is type, default, enum, help
p.yaml:1:20: 'q' is not a key of 'x'
    1 | params: {x: {p: 1, q: 2}}
      |                    ^ there is type, default, enum, help

p.yaml:1:1: 'env' is empty
    1 | env:
      | ^^^ for example env: {TZ: UTC}

p.yaml:1:6: 'env' must be a mapping, not a list
    1 | env: [A=1]
      |      ^^^^^ for example env: {TZ: UTC}

p.yaml:1:7: 'A' is empty
    1 | env: {A: }
      |       ^

p.yaml:1:7: 'A B' cannot be a name in 'env'
    1 | env: {A B: 1}
      |       ^^^ a name has letters, digits and _, and does not start with a digit

p.yaml:1:1: 'environment' is not a key of a pipeline file
    1 | environment: {A: 1}
      | ^^^^^^^^^^^ did you mean 'env'?

p.yaml:1:1: 'defaults' is empty
    1 | defaults:
      | ^^^^^^^^ for example defaults: {retries: 1}

p.yaml:1:11: 'defaults' must be a mapping, not a list
    1 | defaults: []
      |           ^^ for example defaults: {retries: 1}

p.yaml:1:12: an expression is not evaluated here
    1 | defaults: "${{ params.x }}"
      |            ^^^^^^^^^^^^^^^ expressions stand in with, env, files, if, timeout, retries, resources, executor, cache, map, read, write

p.yaml:1:21: 'retries' must be at least 0, not -1
    1 | defaults: {retries: -1}
      |                     ^^

p.yaml:1:12: 'run' is not a key of 'defaults'
    1 | defaults: {run: x}
      |            ^^^ there is retries, timeout, executor, cache, continue_on_error, resources, env, format, tags

p.yaml:1:12: 'with' is not a key of 'defaults'
    1 | defaults: {with: {v: 1}}
      |            ^^^^ there is retries, timeout, executor, cache, continue_on_error, resources, env, format, tags

p.yaml:1:21: 'timeout' cannot be '5 minutes'
    1 | defaults: {timeout: 5 minutes}
      |                     ^^^^^^^^^ write 200ms, 30s, 10m, 1.5h, or a number of seconds

p.yaml:1:21: 'A' must be a string, a number or true or false, not a list
    1 | defaults: {env: {A: [1]}}
      |                     ^^^

p.yaml:1:1: 'default' is not a key of a pipeline file
    1 | default: {retries: 1}
      | ^^^^^^^ did you mean 'defaults'?

p.yaml:1:1: 'default_args' is not a key of a pipeline file
    1 | default_args: {retries: 1}
      | ^^^^^^^^^^^^ did you mean 'defaults'?

p.yaml:1:1: 'outputs' is empty
    1 | outputs:
      | ^^^^^^^ for example outputs: {late: split.late}

p.yaml:1:10: 'outputs' must be a mapping, not 'a'
    1 | outputs: a
      |          ^ for example outputs: {late: split.late}

p.yaml:1:10: 'outputs' must be a mapping, not a list
    1 | outputs: [a]
      |          ^^^ for example outputs: {late: split.late}

p.yaml:1:11: 'x y' cannot be a name in 'outputs'
    1 | outputs: {x y: a}
      |           ^^^ a name has letters, digits, _ and -, and does not start with a digit or -

p.yaml:1:14: 'x' must be a string, not a list
    1 | outputs: {x: [a]}
      |              ^^^ write node, or node.output

p.yaml:1:14: 'x' cannot be 'a, s'
    1 | outputs: {x: 'a, s'}
      |              ^^^^^^ write node, or node.output

p.yaml:1:1: 'output' is not a key of a pipeline file
    1 | output: {x: a}
      | ^^^^^^ did you mean 'outputs'?

p.yaml:1:1: 'b' is not a key of a pipeline file
    1 | b: {run: y}
      | ^ if this is a node, indent it below 'nodes'

p.yaml:1:1: '' is not a key of a pipeline file
    1 | '': 1
      | ^^ there is name, description, params, secrets, env, timezone, inputs, matrix, resources, defaults, profiles, nodes and 3 more
"""  # noqa: E501


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def diagnostics_of(text: str) -> str:
    """The rendered diagnostics of the file; "" if there are none."""
    Path("p.yaml").write_text(text, encoding="utf-8")
    check_the_fast_validator(load("p.yaml").root)
    try:
        read_pipeline("p.yaml")
    except SpecError as error:
        return render_all(error.diagnostics, limit=1000)
    return ""


def check_the_fast_validator(root: Any) -> None:
    """Check that both validators agree. Only jsonschema accepts non-ASCII Python names."""
    valid = schema._validator(document_schema("pipeline")).is_valid(root)
    if fast_validator(document_schema("pipeline")).is_valid(root):
        assert valid
    else:
        assert not valid or not json.dumps(root, ensure_ascii=False).isascii()


@pytest.mark.parametrize("message", MESSAGES.replace("KINDS", ", ".join(written_kinds())).strip("\n").split("\n\n"))
def test_message(message: str) -> None:
    lines = dict(enumerate(BASE, 1))
    lines |= {int(number): line for number, line in re.findall(r"^ +([0-9]+) \| (.*)$", message, re.MULTILINE)}
    assert diagnostics_of("\n".join(lines.values()) + "\n") == message


def test_a_valid_file_gives_no_diagnostics() -> None:
    assert diagnostics_of("\n".join(BASE)) == ""
    for node in (
        "{run: x, inputs: a}",
        "{run: x, inputs: [a, s.late]}",
        "{run: x, inputs: {t: a, u: s.late}}",
        "{run: x, inputs: {class: a}, with: {v: [1, {w: null}]}}",
        "{run: x, needs: a}",
        "{run: x, needs: [a, s]}",
        "{run: x, retries: 100}",
        "{run: x, retries: {max: 3, delay: 0s, backoff: 1, max_delay: 1m, jitter: 0}}",
        "{run: x, timeout: 0.5}",
        "{run: x, timeout: 0.001ms}",
        "{run: x, resources: {}}",
        "{run: x, resources: {cpu: 0.5}, executor: thread, format: jsonl, env: {A: 1, B: true}, description: ''}",
    ):
        assert diagnostics_of("\n".join([*BASE, f"  b: {node}"])) == ""


def test_a_long_node_name_is_shortened_in_the_message() -> None:
    message = diagnostics_of("nodes:\n  " + "x" * 500 + ": {run: x}\n")
    assert "'" + "x" * 39 + "…" + "x" * 20 + "' cannot be a name in 'nodes'" in message
    assert len(message) < 600


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "p.yaml:1:1: a pipeline file must be a mapping, not a list\n    1 | - a\n      | ^"),
        ("hello\n", "p.yaml:1:1: a pipeline file must be a mapping, not 'hello'\n    1 | hello\n      | ^^^^^"),
        ("name: x\n", "p.yaml:1:1: a pipeline file needs 'nodes'\n    1 | name: x\n      | ^^^^"),
    ],
)
def test_no_pipeline_at_all(text: str, message: str) -> None:
    assert diagnostics_of(text) == message


def test_the_schema_is_valid_and_has_no_alternatives() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert not re.search('"(oneOf|allOf|not)"', document_schema("pipeline"))  # nor `if`, which is a key of a node
    assert set(_alternatives(SCHEMA)) == {'{"$ref": "#/$defs/expression"}'}


def _alternatives(part: Any) -> Iterator[str]:
    """The last of each choice of two schemas: settings have a value, or an expression."""
    if isinstance(part, dict):
        if "anyOf" in part:
            _, last = part["anyOf"]
            yield json.dumps(last)
        part = list(part.values())
    for item in part if isinstance(part, list) else ():
        yield from _alternatives(item)


def test_messages_about_settings_are_about_values_not_about_expressions() -> None:
    assert {found.message for key in ("cache", "timeout") for found in check_setting(key, "x")} == {
        "'cache' must be true or false, not 'x'",
        "'timeout' cannot be 'x'",
    }


def test_every_key_has_a_title_and_a_description() -> None:
    found = []

    def check_schema(schema: Any, key: str) -> None:
        if "$ref" in schema:
            schema = SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")] | schema
        assert schema.get("title"), key
        assert schema.get("description") or key == "node", key
        found.append(key)
        for part in (schema, *schema.get("anyOf", ())):
            for inner, value in part.get("properties", {}).items():
                check_schema(value, inner)

    check_schema(SCHEMA, "")
    check_schema(SCHEMA["properties"]["params"]["additionalProperties"], "param")
    check_schema(SCHEMA["$defs"]["node"], "node")
    assert {"retries", "jitter", "cpu", "enum", "sql"} <= set(found)


def test_examples_are_valid() -> None:
    def check_schema(schema: Any) -> None:
        if isinstance(schema, dict):
            resolved = Draft202012Validator({**schema, "$defs": SCHEMA["$defs"]})
            for example in schema.get("examples", []) if "title" in schema else []:
                assert resolved.is_valid(example), example
            for part in schema.values():
                check_schema(part)
        elif isinstance(schema, list):
            for part in schema:
                check_schema(part)

    check_schema(SCHEMA)


def test_the_schema_and_the_code_have_the_same_names() -> None:
    node = SCHEMA["$defs"]["node"]["properties"]
    assert set(node) == set(node_keys())
    for kind in written_kinds().values():  # editors read the file, which therefore has the schemas of all kinds
        assert {"title", "description", "examples"} <= node[kind.name].keys()
        assert {*kind.says.settings} <= {*node}
    assert SCHEMA["properties"]["nodes"]["description"].endswith(f" exactly one of {', '.join(written_kinds())}.")
    assert SCHEMA["$defs"]["format"]["enum"] == list(FORMATS)
    for key, part in SCHEMA["$defs"]["defaults"]["properties"].items():
        assert part == node[key]


# -- indentation: one error, one message ---------------------------------------------------------------------------


# Pairs of a file and its expected diagnostics.
INDENTED = r"""
nodes:
  a:
  python: steps:extract
  inputs: b
--
p.yaml:2:3: node 'a' is empty
    2 |   a:
      |   ^ for example a: {python: steps:clean, inputs: flights}
p.yaml:3:11: node 'python' must be a mapping, not 'steps:extract'
    3 |   python: steps:extract
      |           ^^^^^^^^^^^^^ if 'python' is a key of the node above it, indent it like its other keys
p.yaml:4:11: node 'inputs' must be a mapping, not 'b'
    4 |   inputs: b
      |           ^ if 'inputs' is a key of the node above it, indent it like its other keys

nodes:
  a:
    run: x
    with:
    v: 1
    w: 2
--
p.yaml:4:5: 'with' is empty
    4 |     with:
      |     ^^^^ for example with: {month: 1}
p.yaml:5:5: 'v' is not a key of a node
    5 |     v: 1
      |     ^ there is python, sql, run, read, write, pipeline, use, inputs, with, outputs, schema, checks and 17 more
p.yaml:6:5: 'w' is not a key of a node
    6 |     w: 2
      |     ^ there is python, sql, run, read, write, pipeline, use, inputs, with, outputs, schema, checks and 17 more

nodes:
  a:
    run: x
    env:
    A: 1
    retries: 1
--
p.yaml:4:5: 'env' is empty
    4 |     env:
      |     ^^^ for example env: {TZ: UTC}
p.yaml:5:5: 'A' is not a key of a node
    5 |     A: 1
      |     ^ there is python, sql, run, read, write, pipeline, use, inputs, with, outputs, schema, checks and 17 more

nodes:
a: {run: x}
--
p.yaml:1:1: 'nodes' is empty
    1 | nodes:
      | ^^^^^ for example nodes: {flights: {read: data/flights.parquet}}
p.yaml:2:1: 'a' is not a key of a pipeline file
    2 | a: {run: x}
      | ^ if this is a node, indent it below 'nodes'

nodes:
  a: {run: x}
b: {run: y}
--
p.yaml:3:1: 'b' is not a key of a pipeline file
    3 | b: {run: y}
      | ^ if this is a node, indent it below 'nodes'

a: {run: x}
--
p.yaml:1:1: a pipeline file needs 'nodes'
    1 | a: {run: x}
      | ^
p.yaml:1:1: 'a' is not a key of a pipeline file
    1 | a: {run: x}
      | ^ if this is a node, indent it below 'nodes'

nodes:
  a:
    run: x
  inputs: [a]
--
p.yaml:4:11: node 'inputs' must be a mapping, not a list
    4 |   inputs: [a]
      |           ^^^ if 'inputs' is a key of the node above it, indent it like its other keys

nodes:
  a:
    - run: x
--
p.yaml:3:5: node 'a' must be a mapping, not a list
    3 |     - run: x
      |     ^ for example a: {python: steps:clean, inputs: flights}

nodes:
  - name: a
    run: x
--
p.yaml:2:3: 'nodes' must be a mapping, not a list
    2 |   - name: a
      |   ^ for example nodes: {flights: {read: data/flights.parquet}}

nodes:
  a:
  b:
    run: x
--
p.yaml:2:3: node 'a' is empty
    2 |   a:
      |   ^ for example a: {python: steps:clean, inputs: flights}

nodes:
--
p.yaml:1:1: 'nodes' is empty
    1 | nodes:
      | ^^^^^ for example nodes: {flights: {read: data/flights.parquet}}

nodes: {}
--
p.yaml:1:8: 'nodes' is empty
    1 | nodes: {}
      |        ^^ for example nodes: {flights: {read: data/flights.parquet}}

steps:
  - run: x
--
p.yaml:1:1: 'steps' is not a key of a pipeline file
    1 | steps:
      | ^^^^^ did you mean 'nodes'?

jobs:
  a:
    runs-on: x
--
p.yaml:1:1: 'jobs' is not a key of a pipeline file
    1 | jobs:
      | ^^^^ did you mean 'nodes'?

Nodes:
  a: {run: x}
--
p.yaml:1:1: 'Nodes' is not a key of a pipeline file
    1 | Nodes:
      | ^^^^^ did you mean 'nodes'?

Steps:
  a: {run: x}
--
p.yaml:1:1: 'Steps' is not a key of a pipeline file
    1 | Steps:
      | ^^^^^ did you mean 'nodes'?
"""


@pytest.mark.parametrize("case", INDENTED.strip("\n").split("\n\n"))
def test_indentation(case: str) -> None:
    text, message = case.split("\n--\n")
    assert diagnostics_of(text + "\n") == message


def test_the_limit_for_the_length_of_a_name() -> None:
    assert diagnostics_of("name: " + "x" * 200 + "\n" + "\n".join(BASE)) == ""
    assert "1:7: 'name' has more than 200 characters\n" in diagnostics_of("name: " + "x" * 201 + "\n" + "\n".join(BASE))


def test_of_3000_errors_1000_are_collected() -> None:
    text = "nodes:\n" + "".join(f"  n{i}: {{run: x, retries: -1}}\n" for i in range(3000))
    Path("p.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        read_pipeline("p.yaml")
    assert len(caught.value.diagnostics) == 1000
    assert render_all(caught.value.diagnostics).endswith("… and 950 more problems")


# -- the fast validator ------------------------------------------------------------------------------------------------

COMPLETE = """
name: x
description: x
params: {a: 1, b: {type: integer, default: 1, enum: [1, 2], help: x}, c: [x], d: {default: {x: 1}}}
env: {A: x, B: 1, C: true, D: 1.5}
defaults: {retries: 1, timeout: 30s, executor: thread, resources: {cpu: 2}, env: {A: x}, format: csv}
nodes:
  a: {python: "steps.x:f", inputs: {t: b.late}, with: {v: [1, {w: x}]}, outputs: [early, late], needs: [b]}
  b: {run: x, inputs: a, needs: b, retries: {max: 3, delay: 1s, backoff: 2.5, max_delay: 9, jitter: 0.5}}
  c: {sql: x, inputs: [a, b.late], timeout: 1.5, retries: 0, description: x, format: arrow}
  d: {read: x}
  e: {write: x}
outputs: {x-y: a.late}
"""


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for step, item in inner for found in paths(item, (*path, step)))]


PATHS = paths(parse(COMPLETE, "p.yaml").root)
# Characters of documents, among them those that one library takes for spaces, digits or letters and another does not.
TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"], include_characters="\t\n"), max_size=6) | st.text(
    st.sampled_from("aZ_09.:-smhd \n\t\xa0\u1680\u180e\u2000\u2028\u200b\u3000\ufeff\u0660\xaa\u017f\u212a\U0001d7d8"),
    max_size=6,
)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
EDGES = st.sampled_from(
    [
        *(None, True, False, 0, 1, 2, -1, 100, 101, 0.0, -0.0, 1.0, 0.5, 1.5, 100.0, 100.5, 2.0**60, 1e308, 2**63 - 1),
        *("", " ", "x", "a", "a\n", "a.b", "a.b.c", "m:f", "1s", "0s", "0.0s", "00.10s", "1.5h", "1e3", "thread"),
        *("x" * 64, "x" * 65, "x" * 200, "x" * 201, "😀" * 200, "1" * 9 + "s", "1" * 10 + "s", "é:é", "a:é", "é"),
        *([], [1], ["a"], ["a", "a"], [1, True], {}, {"a": "a"}, {"é": 1}, {"max": 1}, {"max": 1.0}, {"cpu": 0.5}),
    ]
)


@given(st.sampled_from(PATHS), st.one_of(EDGES, TEXTS, NUMBERS), st.booleans())
@example(("nodes", "a", "python"), "steps:é", False)
@example(("nodes", "a", "python"), "steps:f\n", False)
@example(("nodes", "b", "retries", "max"), 3.0, False)
@example(("nodes", "c", "sql"), "\ufeff", False)
@example(("nodes", "c"), "c ", True)
def test_jsonschema_accepts_what_the_fast_validator_accepts(
    path: tuple[Any, ...], new_value: Any, as_key: bool
) -> None:
    root = parse(COMPLETE, "p.yaml").root
    parent: Any = None
    value = root
    for step in path:
        parent, value = value, value[step]
    if parent is None:
        root = new_value
    elif as_key and isinstance(parent, dict) and isinstance(new_value, str):
        parent[new_value] = parent.pop(path[-1])
    else:
        parent[path[-1]] = new_value
    check_the_fast_validator(root)


def test_jsonschema_is_not_used_for_a_valid_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "_validator", lambda text: pytest.fail("this takes as long as everything else"))
    Path("p.yaml").write_text("\n".join(BASE), encoding="utf-8")
    read_pipeline("p.yaml")


def test_ctrl_c_while_the_fast_validator_is_imported_is_no_panic() -> None:
    program = """
import sys
from nfrun.pipeline_file import schema
class Stop:
    def find_spec(self, name, *others):
        if name == "decimal":
            raise KeyboardInterrupt
text = schema.document_schema("pipeline")
sys.modules.pop("decimal", None)
sys.meta_path.insert(0, Stop())
try:
    schema.fast_validator(text)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
