"""Edits of files that nodes name: scripts, what scripts name in turn, `files:`, files of queries, and effects."""

from __future__ import annotations

import os
from pathlib import Path

from edit import Edit

ECHO = 'run: "echo n > $NFRUN_OUTPUT", format: csv'

DECLARED = {
    "p.yaml": """\
nodes:
  model: {python: "steps:f", files: [train.py, conf/*.yaml, models]}
  other: {python: "steps:f"}
""",
    "steps.py": "def f(): return {'a': 1}",
    "train.py": "1",
    "conf/a.yaml": "1",
    "models/net.onnx": "1",
    "unrelated.txt": "1",
}
MODEL = frozenset({"model"})


def script(text: str, **files: str) -> dict[str, str]:
    """Return a project of one script, `node`, and one beside it; `__` in the name of a file is a dot."""
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    nodes = f'node: {{run: "{text}; echo n > $NFRUN_OUTPUT", format: csv}}\n  other: {{{ECHO}}}\n'
    return {"p.yaml": f"nodes:\n  {nodes}", **{name.replace("__", "."): text for name, text in files.items()}}


def query(text: str) -> dict[str, str]:
    """Return a project of one query, `node`, one beside it, and `x.csv`."""
    return {"p.yaml": f'nodes:\n  node: {{sql: "{text}"}}\n  other: {{sql: select 1 as n}}\n', "x.csv": "n\n1\n"}


def execute(database: Path, statement: str) -> None:
    import duckdb

    with duckdb.connect(str(database)) as connection:
        connection.execute(statement)


WRITE = "nodes:\n  node: {sql: \"from 'x.csv'\"}\n  save: {write: out.csv, inputs: node}\n"
NODE = frozenset({"node"})
TRAIN = script("python3 train.py", train__py="import helpers", helpers__py="A = 'conf.json'", conf__json="1", x__py="1")
SHELL = script("bash w.sh", w__sh=". ./lib.sh\ncat in.csv", lib__sh="cat deep.txt", in__csv="1", deep__txt="1")
COPY = script("mkdir -p out && cat in.csv > model.bin && cp model.bin out/model.bin", in__csv="1")
SHARED = {
    "p.yaml": "nodes:\n"
    "  a: {run: 'python3 w.py a > $NFRUN_OUTPUT', format: csv}\n"
    "  b: {run: 'python3 w.py b > $NFRUN_OUTPUT', format: csv}\n",
    "w.py": "import os, sys\nos.makedirs('out', exist_ok=True)\n"
    "open(f'out/{sys.argv[1]}.txt', 'w').write('1')\nprint('n')",
}

# Scripts that ask which file of a folder is the newest, without `$(`: the text goes through YAML.
TIMES = {
    "ls -t": "ls -t d/*.csv | head -n 1",
    "ls -1tr": "ls -1tr d/* | tail -n 1",
    "-nt": "test d/a.csv -nt d/b.csv || true",
    "find -newer": "find d -newer d/a.csv -name b.csv",
    "stat": "stat -c %Y d/*.csv",
}


def touch(folder: Path) -> None:
    os.utime(folder / "d/a.csv", (1, 4_000_000_000))


ROWS: list[Edit] = [
    *(
        Edit(
            name=f"times of files: {name}",
            files={**script(text), "d/a.csv": "1", "d/b.csv": "1"},
            act=touch,
            runs_again=frozenset({"node"}),
        )
        for name, text in TIMES.items()
    ),
    Edit(
        name="times of files, of which a script does not ask",
        files={**script("cat d/*.csv | sort"), "d/a.csv": "1", "d/b.csv": "1"},
        act=touch,
        runs_again=frozenset(),
    ),
    Edit(
        name="a declared file",
        files=DECLARED,
        edit={"train.py": "2"},
        runs_again=MODEL,
        reason="the file train.py changed",
    ),
    Edit(
        name="a declared file, by the command", files=DECLARED, edit={"train.py": "2"}, runs_again=MODEL, by="command"
    ),
    Edit(name="a file of a declared pattern", files=DECLARED, edit={"conf/a.yaml": "2"}, runs_again=MODEL),
    Edit(
        name="one more file of a declared pattern",
        files=DECLARED,
        edit={"conf/b.yaml": "2"},
        runs_again=MODEL,
        reason="the file conf/b.yaml is new",
    ),
    Edit(name="a file in a declared folder", files=DECLARED, edit={"models/net.onnx": "2"}, runs_again=MODEL),
    Edit(name="one more file in a declared folder", files=DECLARED, edit={"models/deep/b.bin": "2"}, runs_again=MODEL),
    Edit(
        name="a declared file whose name a parameter has",
        files={
            **DECLARED,
            "p.yaml": "params: {x: a}\nnodes:\n  a: {python: 'steps:f', files: 'conf/${{ params.x }}.yaml'}\n",
        },
        edit={"conf/a.yaml": "2"},
        runs_again=True,
    ),
    Edit(
        name="a file that nobody names",
        files=DECLARED,
        edit={"unrelated.txt": "2", "conf/a.txt": "3"},
        runs_again=False,
    ),
    Edit(name="a hidden folder in a declared one", files=DECLARED, edit={"models/.cache/x": "2"}, runs_again=False),
    Edit(
        name="the times of declared files",
        files=DECLARED,
        act=lambda folder: [os.utime(path, (1, 1)) for path in folder.rglob("*.*")],
        runs_again=False,
    ),
    Edit(
        name="a declared file that is written again with the same content",
        files=DECLARED,
        edit={"train.py": "1"},
        runs_again=False,
    ),
    Edit(
        name="a script's file",
        files=TRAIN,
        edit={"train.py": "import helpers; 1"},
        runs_again=NODE,
        reason="the file train.py changed",
    ),
    Edit(name="a module that a script imports", files=TRAIN, edit={"helpers.py": "A = 2"}, runs_again=NODE),
    Edit(name="a file that a module of a script names", files=TRAIN, edit={"conf.json": "2"}, runs_again=NODE),
    Edit(name="a script's file, by the command", files=TRAIN, edit={"conf.json": "2"}, runs_again=NODE, by="command"),
    Edit(name="a script that is gone", files=TRAIN, edit={"helpers.py": None}, runs_again=NODE),
    Edit(name="a module that no script imports", files=TRAIN, edit={"x.py": "2", "y.py": "3"}, runs_again=False),
    Edit(name="nothing, of a script in Python", files=TRAIN, runs_again=False, by="command"),
    Edit(name="a sourced shell file", files=SHELL, edit={"lib.sh": "cat deep.txt; true"}, runs_again=NODE),
    Edit(name="a file that a shell script names", files=SHELL, edit={"in.csv": "2"}, runs_again=NODE),
    Edit(name="a file that a sourced shell file names", files=SHELL, edit={"deep.txt": "2"}, runs_again=NODE),
    Edit(
        name="a file that an option of a script names",
        files=script("true --config=conf.yaml", conf__yaml="1"),
        edit={"conf.yaml": "2"},
        runs_again=NODE,
    ),
    Edit(
        name="a file that a variable names",
        files={"p.yaml": f"env: {{CONF: conf.yaml}}\nnodes:\n  node: {{{ECHO}}}\n", "conf.yaml": "1"},
        edit={"conf.yaml": "2"},
        runs_again=NODE,
    ),
    Edit(
        name="a file that a value names",
        files={"p.yaml": f"nodes:\n  node: {{{ECHO}, with: {{conf: conf.yaml}}}}\n", "conf.yaml": "1"},
        edit={"conf.yaml": "2"},
        runs_again=NODE,
    ),
    Edit(
        name="one more file of a pattern in a script",
        files={**script("cat conf/*.yaml"), "conf/a.yaml": "1"},
        edit={"conf/b.yaml": "1"},
        runs_again=NODE,
    ),
    Edit(
        name="a file in a folder that a script names",
        files={**script("tar c conf | wc -c"), "conf/a.yaml": "1"},
        edit={"conf/a.yaml": "2"},
        runs_again=NODE,
    ),
    Edit(
        name="a package that a script runs",
        files={**script("python3 -m pkg"), "pkg/__main__.py": "", "pkg/x.py": "1"},
        edit={"pkg/x.py": "2"},
        runs_again=NODE,
    ),
    Edit(
        name="a file that a script has copied",
        files=COPY,
        edit={"out/model.bin": "edited"},
        runs_again=NODE,
        reason="the file out/model.bin, which it wrote, is gone or has changed",
    ),
    Edit(name="a file that a script has written", files=COPY, edit={"model.bin": "edited"}, runs_again=NODE),
    Edit(
        name="a file that a script has copied and that is gone",
        files=COPY,
        edit={"out/model.bin": None},
        runs_again=NODE,
    ),
    Edit(name="what a script copies", files=COPY, edit={"in.csv": "2"}, runs_again=NODE),
    Edit(name="nothing, where a script has written files", files=COPY, runs_again=False),
    Edit(name="nothing, where a script has written files, by the command", files=COPY, runs_again=False, by="command"),
    Edit(
        name="nothing, where a script has written over a file",
        files={**COPY, "model.bin": "old", "out/model.bin": "old"},
        runs_again=False,
    ),
    Edit(name="nothing, where scripts write into one folder", files=SHARED, options={"slots": 1}, runs_again=False),
    Edit(
        name="the file of one of the scripts that write into one folder",
        files=SHARED,
        options={"slots": 1},
        edit={"out/a.txt": "2"},
        runs_again=frozenset({"a"}),
    ),
    Edit(
        name="a file of a query",
        files=query("from 'x.csv'"),
        edit={"x.csv": "n\n2\n"},
        runs_again=NODE,
        reason="the file x.csv changed",
    ),
    Edit(
        name="one more file of a pattern of a query",
        files=query("from '*.csv'"),
        edit={"y.csv": "n\n2\n"},
        runs_again=NODE,
    ),
    Edit(
        name="a table of an attached database",
        files=query("attach 'x.db' as x; create table if not exists x.t (n int); from x.t"),
        act=lambda folder: execute(folder / "x.db", "insert into t values (1)"),
        runs_again=NODE,
    ),
    Edit(
        name="the log of an attached database",
        files=query("attach 'x.db' as x; create table if not exists x.t (n int); from x.t"),
        act=lambda folder: (folder / "x.db.wal").write_text("1"),
        runs_again=NODE,
    ),
    Edit(
        name="an imported database",
        files={
            **query("import database 'dump'; from t"),
            "dump/schema.sql": "create table t (n int);",
            "dump/load.sql": "copy t from 'dump/t.csv';",
            "dump/t.csv": "1\n",
        },
        edit={"dump/t.csv": "2\n"},
        runs_again=NODE,
        by="command",
    ),
    Edit(
        name="a file that a query has copied",
        files=query("copy (select 1) to 'out.csv'; select 1 as n"),
        edit={"out.csv": "2"},
        runs_again=NODE,
        by="command",
    ),
    Edit(
        name="nothing, of a query that copies",
        files=query("copy (select 1) to 'out.csv'; select 1 as n"),
        runs_again=False,
        by="command",
    ),
    Edit(name="a file that no query names", files=query("from 'x.csv'"), edit={"y.csv": "n\n2\n"}, runs_again=False),
    Edit(
        name="one more file of a pattern that is read",
        files={"p.yaml": "nodes:\n  node: {read: '*.csv'}\n  other: {sql: select 1 as n}\n", "x.csv": "n\n1\n"},
        edit={"y.csv": "n\n2\n"},
        runs_again=NODE,
    ),
    Edit(
        name="the file of a write node",
        files={**query("from 'x.csv'"), "p.yaml": WRITE},
        edit={"out.csv": "2"},
        runs_again=frozenset({"save"}),
    ),
    Edit(
        name="the file of a write node that is gone",
        files={**query("from 'x.csv'"), "p.yaml": WRITE},
        edit={"out.csv": None},
        runs_again=frozenset({"save"}),
    ),
    Edit(
        name="a comment in the pipeline file",
        files=TRAIN,
        edit={"p.yaml": "# a comment\n" + TRAIN["p.yaml"]},
        runs_again=False,
    ),
    Edit(
        name="the times of a script's files",
        files=TRAIN,
        act=lambda folder: [os.utime(path, (1, 1)) for path in folder.rglob("*.*")],
        runs_again=False,
    ),
    Edit(
        name="a file outside of the folder that no script names",
        files=SHELL,
        act=lambda folder: (folder.parent / "in.csv").write_text("2"),
        runs_again=False,
    ),
    Edit(
        name="nothing, where a script gave no output",
        files={
            "p.yaml": f"nodes:\n  effect: {{run: 'true'}}\n  after: {{{ECHO}, needs: effect}}\n  other: {{{ECHO}}}\n"
        },
        runs_again=frozenset({"effect", "after"}),
        reason="it gave no output, so it runs for its effect",
    ),
    Edit(
        name="nothing, where a function returned None",
        files={"steps.py": "def f(): pass"},
        runs_again=True,
        by="run",
    ),
    Edit(
        name="nothing, where a cached script gave no output",
        files={"p.yaml": "nodes:\n  effect: {run: 'true', cache: true}\n"},
        runs_again=False,
    ),
]

HERE = """HERE="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" >/dev/null 2>&1 && pwd -P)"; """
WAYS = {  # to name a file of the folder of the script `d/go.sh`, or of the pipeline
    "dirname": 'cat "$(dirname "$0")/x.csv" $(dirname $0)/lib/l.sh',
    "backticks": "cat `dirname $0`/x.csv; . `dirname $0`/lib/l.sh",
    "a folder in a variable": f'{HERE}. "$HERE/lib/l.sh"; cat "$HERE"/x.csv',
    "a path in a variable": 'S=$(readlink -f "$0"); D=$(dirname "$S"); cat $D/*.csv; . "$D"/lib/l.sh',
    "the folder above": 'ROOT=$(cd "$(dirname "$0")/.." && pwd); cat $ROOT/d/x.csv; . ${0%/*}/lib/l.sh',
    "a change of folder": 'cd "$(dirname "$0")" && cat x.csv && . lib/l.sh',
    "the directory": ". $(pwd)/d/lib/l.sh; cat `pwd`/d/x.csv",
}
for way, text in WAYS.items():
    files = {**script("bash d/go.sh"), "d/go.sh": text, "d/x.csv": "1", "d/lib/l.sh": "echo 1", "d/other.txt": "1"}
    ROWS += [
        Edit(name=f"{way}: a file", files=files, edit={"d/x.csv": "2"}, runs_again=NODE),
        Edit(name=f"{way}: a script", files=files, edit={"d/lib/l.sh": "echo 2"}, runs_again=NODE),
        Edit(name=f"{way}: a file beside them", files=files, edit={"d/other.txt": "2"}, runs_again=False),
    ]

COMPUTED = {  # by what the query reads: `d/x.csv`, or nobody knows
    "a value in a name": ("from read_csv('d/' || $p || '.csv')", "{p: x}"),
    "a number in a name": ("from read_csv('d/' || $p::varchar || '.csv')", "{p: 1}"),
    "a name in a list": ("from read_csv(['y.csv', 'd/' || $p || '.csv'])", "{p: x}"),
    "a variable": ("set variable p = 'd/' || 'x.csv'; from read_csv(getvariable('p'))", "{}"),
    "a variable in a name": ("set variable p = 'x'; from read_csv('d/' || getvariable('p') || '.csv')", "{}"),
    "a query in a query": ("from query('from read_csv(''d/x.csv'')')", "{}"),
    "a query in dollars": ("from query($$from read_csv('d/x.csv')$$)", "{}"),
    "a table by its name": ("from query_table(['d/x.csv'])", "{}"),
    "a folder to search": ("set file_search_path = 'd'; from read_csv('x.csv')", "{}"),
    "one of several folders to search": ("set file_search_path to 'e,d'; from read_csv('x.csv')", "{}"),
    "what is not known in a name": ("from read_csv('d/' || lower('X') || '.csv')", "{}"),
}
for what, (text, values) in COMPUTED.items():
    used = "1" if "1" in values else "x"
    node = f'nodes:\n  node: {{sql: "{text}", with: {values}}}\n'
    files = {"p.yaml": node, "d/x.csv": "n\n1\n", "d/1.csv": "n\n1\n", "y.csv": "n\n1\n", "z.csv": "n\n1\n"}
    ROWS += [
        Edit(name=f"{what}: the file", files=files, edit={f"d/{used}.csv": "n\n2\n"}, runs_again=True),
        Edit(name=f"{what}: another file", files=files, edit={"z.csv": "n\n2\n"}, runs_again=False),
    ]
UNKNOWN = "from read_csv(lower('D/X.csv'))"
ROWS += [
    Edit(
        name="a query that computes the whole name",
        files={"p.yaml": f'nodes:\n  node: {{sql: "{UNKNOWN}"}}\n', "d/x.csv": "n\n1\n"},
        runs_again=True,
        reason="nfrun cannot know which files read_csv reads: name them under 'files'",
    ),
    Edit(
        name="a query that computes the whole name, with 'files'",
        files={"p.yaml": f'nodes:\n  node: {{sql: "{UNKNOWN}", files: d}}\n', "d/x.csv": "n\n1\n"},
        runs_again=False,
    ),
]
