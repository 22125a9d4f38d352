"""What the code shows about reuse: nodes that run again although nothing has changed, and nodes that do not."""

from __future__ import annotations

from dataclasses import replace

from edit import Edit

ADDRESS = "it may connect to api.example.com (the address is in steps.py:%d)"


def unchanged(name: str, steps: str, *, runs_again: bool, reason: str = "", **more: str) -> Edit:
    return Edit(name=name, files={"steps.py": steps, **more}, runs_again=runs_again, reason=reason)


CONNECTING = [
    unchanged(
        "a URL in the function",
        "def f():\n  url = 'https://api.example.com/v1'\n  return {'a': url}",
        runs_again=True,
        reason=ADDRESS % 2,
    ),
    unchanged(
        "a URL in a constant that the function reads",
        "URL = 'https://user:pass@api.example.com:8443/v1'\ndef f(): return {'a': URL}",
        runs_again=True,
        reason="it may connect to api.example.com:8443 (the address is in steps.py:1)",
    ),
    unchanged(
        "a URL with a computed path",
        "def f(n=1): return {'a': f'https://api.example.com/{n}'}",
        runs_again=True,
        reason=ADDRESS % 1,
    ),
    unchanged(
        "a URL with a computed host",
        "def f(n=1): return {'a': f'https://{n}/v1'}",
        runs_again=True,
        reason="it may connect to https://… (the address is in steps.py:1)",
    ),
    unchanged(
        "the address of a database", "def f(): return {'a': 'postgresql://db/x'}", runs_again=True, reason="to db "
    ),
    unchanged("an address of a bucket", "def f(): return {'a': 's3://bucket/x'}", runs_again=True, reason="to bucket "),
    unchanged(
        "a client that connects unseen",
        "def f():\n  return {'a': getattr(g, '__name__', '')}\ndef g():\n  import psycopg as p\n  return p.connect()",
        runs_again=True,
        reason="it uses psycopg, whose connections nfrun cannot see (steps.py:5)",
    ),
]
QUIET = [
    unchanged("a URL in a docstring", "def f():\n  'See https://example.com.'\n  return {'a': 1}", runs_again=False),
    unchanged("a URL in a comment", "def f():\n  return {'a': 1}  # https://example.com", runs_again=False),
    unchanged("the address of a file", "def f(): return {'a': 'file:///x'}", runs_again=False),
    unchanged(
        "a URL that the function does not reach", "URL = 'https://x'\ndef f(): return {'a': 1}", runs_again=False
    ),
    unchanged("two slashes", "def f(): return {'a': '://' in 'x'}", runs_again=False),
    Edit(
        name="a URL in a node with 'cache: true'",
        files={
            "steps.py": "def f(): return {'a': 'https://api.example.com'}",
            "p.yaml": "nodes:\n  node: {python: 'steps:f', cache: true}\n",
        },
        runs_again=False,
    ),
]


def text(name: str, node: str, *, runs_again: bool, reason: str = "") -> Edit:
    """Return the row of a node that is a script or a query, in line 2 of the pipeline."""
    return Edit(name=name, files={"p.yaml": f"nodes:\n  node: {node}\n"}, runs_again=runs_again, reason=reason)


NODE = "nodes:\n  node: {python: 'steps:f'%s}\n"
LINE = "it may connect to %s (the address is in p.yaml:2)"
TEXTS = [
    text(
        "a URL in a script",
        "{run: 'echo a,https://x.org/y > $NFRUN_OUTPUT', format: csv}",
        runs_again=True,
        reason=LINE % "x.org",
    ),
    text(
        "a URL in a value of a script",
        "{run: 'echo $NFRUN_WITH_u > $NFRUN_OUTPUT', format: csv, with: {u: 'ftp://x.org'}}",
        runs_again=True,
        reason=LINE % "x.org",
    ),
    text(
        "a URL in a list of values of a script",
        "{run: 'echo a > $NFRUN_OUTPUT', format: csv, with: {u: [{v: 'ftp://x.org'}]}}",
        runs_again=True,
        reason=LINE % "x.org",
    ),
    Edit(
        name="a URL in a value of a function",
        files={"steps.py": "def f(u): return {'a': 1}\n", "p.yaml": NODE % ", with: {u: 'https://x.org/a.parquet'}"},
        runs_again=True,
        reason=LINE % "x.org",
    ),
    text("a URL in a query", "{sql: \"select 's3://bucket/a.csv' as a\"}", runs_again=True, reason=LINE % "bucket"),
    text(
        "a URL in a comment of a script",
        '{run: "# https://x.org\\necho a > $NFRUN_OUTPUT", format: csv}',
        runs_again=False,
    ),
    text("a URL in a comment of a query", '{sql: "-- https://x.org\\nselect 1 as a"}', runs_again=False),
]
CSV = {"d/a.csv": "a\n1\n", "d/b.csv": "a\n1\n", "e/a.csv": "a\n1\n"}
IMPORTS = "import glob, os, subprocess, pyarrow as pa, pyarrow.dataset\nfrom pathlib import Path\n"
IMPORTS += "from pyarrow.csv import read_csv\nHERE = Path(__file__).parent\n"
UNKNOWN = "nfrun cannot know which files pyarrow.csv.read_csv reads (steps.py:5): name them under 'files'"


def unseen(
    name: str, steps: str, edited: str, *, runs_again: bool = True, node: str = "", reason: str = "", **more: str
) -> Edit:
    """Return the row of a function that reads files unseen, of which one is `edited` or made."""
    files = {"steps.py": IMPORTS + steps, "p.yaml": NODE % node, **CSV}
    files |= {f"{module}.py": text for module, text in more.items()}
    reason = reason or (f"the file {edited} " if runs_again else "")
    return Edit(name=name, files=files, edit={edited: "a\n2\n"}, runs_again=runs_again, reason=reason)


def named(name: str, steps: str, edited: str, **more: str) -> Edit:
    """Return the row of a function that reads files by paths relative to the working directory."""
    row = unseen(name, steps, edited, **more)
    return replace(row, by="command", reason="")


UNSEEN = [
    unseen("a path beside the module", "def f(): return read_csv(HERE / 'd/a.csv')", "d/a.csv"),
    unseen(
        "os.path.join",
        "D = os.path.dirname(__file__)\ndef f(): return read_csv(os.path.join(D, 'd', 'a.csv'))",
        "d/a.csv",
    ),
    unseen(
        "a pattern",
        "def f(): return pa.concat_tables([read_csv(HERE / f'd/{m}.csv') for m in open_all()])\n"
        "def open_all(): return [chr(97), chr(98)]",
        "d/b.csv",
    ),
    unseen(
        "one more file of a pattern",
        "def f(): return [read_csv(HERE / f'd/{chr(n)}.csv') for n in (97,)][0]",
        "d/c.csv",
        reason="the file d/c.csv is new",
    ),
    unseen("a sum", "def f(): return read_csv(str(HERE) + '/d/' + chr(97) + '.csv')", "d/a.csv"),
    unseen("a folder", "def f(): return pa.dataset.dataset(str(HERE / 'd'), format='csv').to_table()", "d/b.csv"),
    unseen("a folder and a computed name", "def f(): return read_csv(HERE / 'd' / (chr(97) + '.csv'))", "d/a.csv"),
    unseen("a value", "def f(path): return read_csv(HERE / path)", "d/a.csv", node=", with: {path: d/a.csv}"),
    unseen("a part of a value", "def f(m): return read_csv(HERE / f'd/{m}.csv')", "d/a.csv", node=", with: {m: a}"),
    unseen(
        "values",
        "def f(paths): return [read_csv(HERE / p) for p in paths][0]",
        "d/b.csv",
        node=", with: {paths: [d/a.csv, d/b.csv]}",
    ),
    unseen("an argument of a helper", "def g(p): return read_csv(HERE / p)\ndef f(): return g('d/a.csv')", "d/a.csv"),
    unseen("a default", "def f(p=HERE / 'd' / 'a.csv'): return read_csv(p)", "d/a.csv"),
    unseen(
        "what a helper returns", "def g(n): return HERE / 'd' / f'{n}.csv'\ndef f(): return read_csv(g('a'))", "d/a.csv"
    ),
    unseen(
        "a constant of another module",
        "import paths\ndef f(): return read_csv(paths.HERE / paths.NAME)",
        "d/a.csv",
        paths="from pathlib import Path\nHERE = Path(__file__).parent\nNAME = 'd/a.csv'",
    ),
    unseen("glob", "def f(): return pa.concat_tables([read_csv(p) for p in glob.glob(f'{HERE}/d/*.csv')])", "d/b.csv"),
    unseen(
        "Path.glob", "def f(): return pa.concat_tables([read_csv(p) for p in (HERE / 'd').glob('*.csv')])", "d/b.csv"
    ),
    unseen(
        "a child process",
        "def f(): return {'a': subprocess.check_output(['cat', HERE / 'd' / 'a.csv']).decode()}",
        "d/a.csv",
    ),
    named("a path", "def f(): return read_csv('d/a.csv')", "d/a.csv"),
    named(
        "a query", "import duckdb\ndef f(): return duckdb.connect().sql(\"from 'd/*.csv'\").to_arrow_table()", "d/b.csv"
    ),
    named("polars", "import polars as pl\ndef f(): return pl.scan_csv('d/a.csv').collect()", "d/a.csv"),
    named("a line for a shell", "def f(): return {'a': subprocess.getoutput('cat <d/a.csv | sort')}", "d/a.csv"),
    unseen(
        "a path that cannot be put together",
        "def f(): return read_csv(os.environ.get('NO_CSV', HERE / 'd/a.csv'))",
        "e/a.csv",
        reason=UNKNOWN,
    ),
    unseen(
        "a path in another working directory",
        "def f():\n  os.chdir(HERE / 'd')\n  return read_csv('a.csv')",
        "e/a.csv",
        reason=UNKNOWN.replace(":5", ":7"),
    ),
    unseen(
        "a path that begins with a folder, in another working directory",
        "def f():\n  os.chdir(HERE / 'd')\n  return read_csv(HERE / 'd/a.csv')",
        "e/a.csv",
        runs_again=False,
    ),
    unseen(
        "a function by a computed name",
        "import polars as pl\ndef f(kind='csv'): return getattr(pl, f'read_{kind}')(HERE / 'd/a.csv')",
        "e/a.csv",
        reason="nfrun cannot know which files getattr(polars, …) reads (steps.py:6): name them under 'files'",
    ),
    unseen(
        "a function by its name",
        "import polars as pl\ndef f(): return getattr(pl, 'read_csv')(HERE / 'd/a.csv')",
        "e/a.csv",
        reason="nfrun cannot know which files getattr(polars, …) reads (steps.py:6): name them under 'files'",
    ),
    unseen(
        "a type by a computed name",
        "import polars as pl\ndef f(n=8): return {'a': str(getattr(pl, f'Int{n}'))}",
        "e/a.csv",
        runs_again=False,
    ),
    unseen("a file that is there", "def f(): return {'a': os.path.exists(HERE / 'd/a.csv')}", "d/a.csv"),
    unseen(
        "a file that appears",
        "def f(): return {'a': os.path.isfile(HERE / 'new.csv')}",
        "new.csv",
        reason="the file new.csv is new",
    ),
    unseen(
        "a method of a path that asks for a file",
        "def f():\n  path = HERE / 'flag'\n  return {'a': path.is_file()}",
        "flag",
        reason="the file flag is new",
    ),
    unseen("the size of a file", "def f(): return {'a': (HERE / 'd/a.csv').stat().st_size}", "d/a.csv"),
    unseen(
        "a file in a folder that is there",
        "def f(): return {'a': (HERE / 'd').exists() and os.path.exists(HERE / 'd')}",
        "d/a.csv",
        runs_again=False,
    ),
    unseen(
        "one of the files of a pattern",
        "def f(n=97): return {'a': os.path.exists(HERE / f'd/{chr(n)}.csv'), 'b': os.path.exists(os.getcwd() * n)}",
        "d/b.csv",
    ),
    unseen(
        "a text that names a file, beside a question for another",
        "def f(n='d/b.csv'): return {'a': os.path.exists(HERE / 'd/a.csv'), 'n': n}",
        "d/b.csv",
    ),
    unseen(
        "a file that it writes if it is not there",
        "def f():\n  path = HERE / 'made.csv'\n  if not path.exists(): path.write_text('a')\n  return {'a': 1}",
        "d/a.csv",
        runs_again=False,
    ),
    unseen(
        "a file that a new process opens",
        "import multiprocessing as mp\ndef rd(): return open(HERE / 'd/a.csv').read()\n"
        "def f():\n  mp.get_context('spawn')\n  return {'a': rd.__name__}",
        "d/a.csv",
    ),
    unseen(
        "a file that a new process reads as a path",
        "import multiprocessing as mp\ndef rd(): return (HERE / 'd/a.csv').read_text()\n"
        "def f():\n  mp.get_context('spawn')\n  return {'a': rd.__name__}",
        "d/a.csv",
    ),
    unseen(
        "a path that is passed to a new process",
        "import multiprocessing as mp\ndef rd(p): return open(p).read()\n"
        "def f():\n  mp.get_context('spawn')\n  return {'a': rd.__name__}",
        "e/a.csv",
        reason="nfrun cannot know which files open reads (steps.py:6): name them under 'files'",
    ),
    unseen(
        "a path that is passed to a forked process",
        "import multiprocessing as mp\ndef rd(p): return open(p).read()\n"
        "def f():\n  mp.get_context('fork')\n  return {'a': rd.__name__}",
        "e/a.csv",
        runs_again=False,
    ),
    unseen("another file", "def f(): return read_csv(HERE / 'd/a.csv')", "d/b.csv", runs_again=False),
    unseen(
        "a file in another folder",
        "def f(n=97): return read_csv(HERE / f'd/{chr(n)}.csv')",
        "e/a.csv",
        runs_again=False,
    ),
    unseen(
        "a file that its own code writes",
        "def f():\n  with pa.OSFile(str(HERE / 'o.csv'), 'wb') as file: file.write(b'a')\n"
        "  return read_csv(HERE / 'd/a.csv')",
        "e/a.csv",
        runs_again=False,
    ),
    unseen(
        "a path that cannot be put together, with 'files'",
        "def f(n=97): return read_csv(os.environ.get('NO_CSV', HERE / 'd/a.csv'))",
        "d/b.csv",
        node=", files: d/a.csv",
        runs_again=False,
    ),
    unseen(
        "a path that cannot be put together, with 'cache: true'",
        "def f(n=97): return read_csv(os.environ.get('NO_CSV', HERE / 'd/a.csv'))",
        "d/b.csv",
        node=", cache: true",
        runs_again=False,
    ),
    unseen(
        "a table in memory", "import io\ndef f(): return read_csv(io.BytesIO(b'a\\n1\\n'))", "d/a.csv", runs_again=False
    ),
]
TWO = "nodes:\n  a: {python: 'steps:a'}\n  b: {python: 'steps:b', needs: [a]}\n"


def shared(name: str, steps: str, again: str, reason: str = "", pipeline: str = TWO, **more: str) -> Edit:
    """Return the row of two nodes, of which those in `again` run again although nothing has changed."""
    files = {"p.yaml": pipeline, "steps.py": steps, **{f"{module}.py": text for module, text in more.items()}}
    return Edit(name=name, files=files, runs_again=frozenset(again), reason=reason)


SHARED = [
    shared(
        "a variable that another node assigns",
        "N = 0\ndef a():\n  global N\n  N = 1\n  return {'a': 1}\ndef b(): return {'b': N}",
        "b",
        "it reads N (steps.py:6), which 'a' assigns (steps.py:4)",
    ),
    shared(
        "a list that another node appends to",
        "ALL = []\ndef a():\n  ALL.append(1)\n  return {'a': 1}\ndef b(): return {'b': len(ALL)}",
        "b",
        "it reads ALL (steps.py:5), which 'a' assigns (steps.py:3)",
    ),
    shared(
        "a list that both append to and read",
        "ALL = []\ndef g():\n  ALL.append(1)\n  return {'n': len(ALL)}\ndef a(): return g()\ndef b(): return g()",
        "ab",
        "it reads ALL (steps.py:4), which 'b' assigns (steps.py:3)",
    ),
    shared(
        "a registry that decorators fill",
        "REG = {}\ndef register(g):\n  REG[g.__name__] = g\n  return g\n@register\ndef one(): return 1\n"
        "def a(): return {'a': one()}\ndef b(): return {'b': REG['one']()}",
        "",
    ),
    shared(
        "a registry that a node fills",
        "REG = {}\ndef register(g):\n  REG[g.__name__] = g\n  return g\n@register\ndef one(): return 1\n"
        "def a(): return {'a': register(one)()}\ndef b(): return {'b': REG['one']()}",
        "b",
        "it reads REG (steps.py:8), which 'a' assigns (steps.py:3)",
    ),
    shared(
        "a registry that a node fills by another name",
        "from reg import REG, register as add\n@add\ndef one(): return 1\n"
        "def a(): return {'a': add(one)()}\ndef b(): return {'b': REG['one']()}",
        "b",
        "it reads REG (steps.py:5), which 'a' assigns (reg.py:3)",
        reg="REG = {}\ndef register(g):\n  REG[g.__name__] = g\n  return g\n",
    ),
    shared(
        "a registry that subclasses fill",
        "REG = {}\nclass B:\n  def __init_subclass__(cls): REG[cls.__name__] = cls\nclass C(B): pass\n"
        "def a(): return {'a': C.__name__}\ndef b(): return {'b': REG['C'].__name__}",
        "",
    ),
    shared(
        "a variable in a module that code may load by any name",
        "import importlib\ndef a(n='json'): return {'a': importlib.import_module(n).__name__}",
        "",
        pipeline=TWO.replace("steps:b", "other:b"),
        other="N = 0\ndef b():\n  global N\n  N = 1\n  return {'b': N}",
    ),
    shared(
        "a variable of another module",
        "import state\ndef a():\n  state.N = 1\n  return {'a': 1}\ndef b(): return {'b': state.get()}",
        "b",
        "it reads N (state.py:2), which 'a' assigns (steps.py:3)",
        state="N = 0\ndef get(): return N",
    ),
    shared(
        "a variable that only its own node changes",
        "ALL = []\ndef a():\n  ALL.append(1)\n  return {'a': len(ALL)}\ndef b(): return {'b': 1}",
        "",
    ),
    shared(
        "results that a function keeps by its argument",
        "X = {}\ndef g(k):\n  if k not in X: X[k] = {'n': k}\n  return X[k]\n"
        "def a(): return g(1)\ndef b(): return g(2)",
        "ab",
        "it reads X (steps.py:",
    ),
    shared(
        "results that functools keeps",
        "import functools\n@functools.cache\ndef g(): return {'n': 1}\ndef a(): return g()\ndef b(): return g()",
        "",
    ),
    shared(
        "a variable that another node assigns, with 'cache: true'",
        "N = 0\ndef a():\n  global N\n  N = 1\n  return {'a': 1}\ndef b(): return {'b': N}",
        "",
        pipeline=TWO.replace("needs: [a]", "needs: [a], cache: true"),
    ),
]
ROWS = [*CONNECTING, *QUIET, *TEXTS, *UNSEEN, *SHARED]
