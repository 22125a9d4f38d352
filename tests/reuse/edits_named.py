"""Edits of files that code names or joins, whoever opens them: with `fopen` of the C library, nobody sees who does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from edit import Edit

# A module of the project reads as libraries of C, C++ and Rust do.
NATIVE = """
import ctypes
LIBC = ctypes.CDLL(None)
LIBC.fopen.restype = ctypes.c_void_p
LIBC.fopen.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
LIBC.fclose.argtypes = [ctypes.c_void_p]
LIBC.fgetc.argtypes = [ctypes.c_void_p]
LIBC.fputs.argtypes = [ctypes.c_char_p, ctypes.c_void_p]


def parse(path, *more, **named):
    file = LIBC.fopen(str(path).encode(), b'r')
    if not file:
        return 'none'
    found = []
    while (c := LIBC.fgetc(file)) != -1:
        found.append(chr(c))
    LIBC.fclose(file)
    return ''.join(found)


def put(path, text, mode='w'):
    file = LIBC.fopen(str(path).encode(), mode.encode())
    LIBC.fputs(text.encode(), file)
    LIBC.fclose(file)
"""
HEAD = "import glob, os, duckdb, native, polars as pl\nfrom pathlib import Path\n"
HEAD += "HERE = Path(__file__).parent\nD = HERE / 'd'\n"
CSV = {"d/a.csv": "a\n1\n", "d/b.csv": "a\n1\n", "e/a.csv": "a\n1\n", "x.txt": "1"}


def row(
    name: str,
    steps: str,
    *,
    edit: str = "d/a.csv",
    runs_again: Any = True,
    pipeline: str = "",
    by: Any = "plan",
    act: Any = None,
    **more: str,
) -> Edit:
    """Return the row in which `d/a.csv` or another file changes."""
    files = {"steps.py": HEAD + steps, "../site-packages/native.py": NATIVE, **CSV, **more}
    files |= {"p.yaml": pipeline} if pipeline else {}
    change = {"act": act} if act else {"edit": {edit: "a\n2\n"}}
    return Edit(name=name, files=files, runs_again=runs_again, by=by, **change)


def node(values: str) -> str:
    return f"nodes:\n  node: {{python: 'steps:f'{values}}}\n"


NAMED = {  # each reads d/a.csv
    "format with names": "def f(): return {'a': native.parse('{at}/{n}.csv'.format(at=D, n='a'))}",
    "another stem": "def f(): return {'a': native.parse((D / 'x.csv').with_stem('a'))}",
    "a slice of a text": "def f(): return {'a': native.parse(str(D / 'a.csv.gz')[:-3])}",
    "a folder above": "def f(): return {'a': native.parse(os.path.normpath(HERE / 'no' / '..' / 'd' / 'a.csv'))}",
    "dollar quotes": "def f(): return {'a': duckdb.execute('from read_csv($$project/d/a.csv$$)').fetchone()[0]}",
    "the default of a variable": "def f(): return {'a': native.parse(HERE / os.environ.get('NO_SUCH', 'd') / 'a.csv')}",
    "a part of a file system": "import pyarrow.dataset as ds, pyarrow.fs as fs\n"
    "def f(): return ds.dataset('a.csv', format='csv', "
    "filesystem=fs.SubTreeFileSystem('project/d', fs.LocalFileSystem())).to_table()",
    "a path": "def f(): return {'a': native.parse(HERE / 'd/a.csv')}",
    "a text from the working directory": "def f(): return {'a': native.parse('project/d/a.csv')}",
    "an f-string": "def f(): return {'a': native.parse(f'{HERE}/d/a.csv')}",
    "a sum": "def f(): return {'a': native.parse(str(HERE) + '/d/' + 'a' + '.csv')}",
    "os.path.join": "def f(): return {'a': native.parse(os.path.join(os.path.dirname(__file__), 'd', 'a.csv'))}",
    "letters": "def f(): return {'a': ''.join(native.parse(D / ('%s.csv' % x)) for x in 'ab')}",
    "percent": "def f(n='a'): return {'a': native.parse('%s/d/%s.csv' % (HERE, n))}",
    "a joined name": "NAME = 'a.csv'\ndef f(): return {'a': native.parse(D.joinpath(NAME))}",
    "a name without a suffix": "def f(n='a'): return {'a': native.parse(D / f'{n}.csv')}",
    "a helper": "def g(folder, name): return native.parse(folder / name)\ndef f(): return {'a': g(D, 'a.csv')}",
    "a helper with names": "def g(*, at, n): return native.parse(at / n)\ndef f(): return {'a': g(n='a.csv', at=D)}",
    "a keyword mapping": "def g(at, n): return native.parse(at / n)\n"
    "def f(): return {'a': g(**{'at': D, 'n': 'a.csv'})}",
    "what a helper returns": "def g(n): return D / n\ndef f(): return {'a': native.parse(g('a.csv'))}",
    "an attribute": "class C:\n  def __init__(self, n): self.n = n\n  def get(self): return native.parse(D / self.n)\n"
    "def f(): return {'a': C('a.csv').get()}",
    "a dataclass": "from dataclasses import dataclass\n@dataclass\nclass C:\n  at: Path\n  n: str\n"
    "  def get(self): return native.parse(self.at / self.n)\ndef f(): return {'a': C(D, 'a.csv').get()}",
    "a subclass": "class B:\n  def get(self): return native.parse(self.at / self.n)\nclass C(B):\n"
    "  at, n = D, 'a.csv'\n"
    "def f(): return {'a': C().get()}",
    "a dictionary": "FILES = {'a': 'a.csv'}\ndef f(): return {'a': native.parse(D / FILES['a'])}",
    "items of a list": "def f(): return {'a': [native.parse(D / n) for n in ['a.csv', 'b.csv']][0]}",
    "a list that grows": "def f():\n  names = []\n  names.append('a.csv')\n"
    "  return {'a': ''.join(native.parse(D / n) for n in names)}",
    "a pool": "from concurrent.futures import ThreadPoolExecutor\ndef g(n): return native.parse(D / n)\n"
    "def f():\n  with ThreadPoolExecutor(1) as pool: return {'a': next(pool.map(g, ['a.csv']))}",
    "partial": "from functools import partial\ndef g(at, n): return native.parse(at / n)\n"
    "def f(): return {'a': partial(g, D)('a.csv')}",
    "a path that grows": "def f():\n  p = HERE\n  for n in ('d', 'a.csv'): p = p / n\n  return {'a': native.parse(p)}",
    "a path in bytes": "def f(): return {'a': native.parse(os.fsencode(HERE / 'd/a.csv').decode())}",
    "a pattern": "def f(): return {'a': ''.join(native.parse(p) for p in sorted(D.glob('*.csv')))}",
    "a listed folder": "def f(): return {'a': ''.join(native.parse(D / n) for n in sorted(os.listdir(D)))}",
    "a folder that is handed on": "def f(): return {'a': native.parse(D), 'b': len(str(D))}",
    "a nested function": "def f():\n  def g(n): return native.parse(D / n)\n  return {'a': g('a.csv')}",
    "a lambda": "g = lambda n: native.parse(D / n)\ndef f(): return {'a': g('a.csv')}",
    "a command": "def run(line): return os.popen(line).read()\ndef f(): return {'a': run('cat project/d/a.csv')}",
    "a folder in a command": "def f(go=native.parse): return {'a': go('cd project/d && cat a.csv'), 'b': "
    "go('d/a.csv')}",
    "an address of a file": "def f(): return {'a': native.parse(str(f'file://{HERE}/d/a.csv')[7:])}",
    "another folder of the module": "import sub.m\ndef f(): return sub.m.g()",
    "the loader": "def f(): return {'a': __loader__.get_data(str(D / 'a.csv')).decode()}",
}
SUB = {"sub/__init__.py": "", "sub/m.py": "import native\nfrom pathlib import Path\n"
       "def g(): return {'a': native.parse(Path(__file__).with_name('a.csv'))}\n", "sub/a.csv": "a\n1\n"}  # fmt: skip
Q = "from 'project/d/a.csv'"
DUCKDB = {  # the connection is handed on
    "an argument": f'def g(con): return con.sql("{Q}").fetchall().__len__()\n'
    "def f(): return {'a': g(duckdb.connect())}",
    "a returned one": "def c(): return duckdb.connect()\n"
    f"def f(): return {{'a': c().execute(\"{Q}\").fetchall().__len__()}}",
    "an attribute": f"class C:\n  def __init__(self): self.con = duckdb.connect()\n"
    f"  def get(self): return self.con.sql(\"{Q}\").fetchall().__len__()\ndef f(): return {{'a': C().get()}}",
    "a context manager": f"from contextlib import contextmanager\n@contextmanager\ndef c(): yield duckdb.connect()\n"
    f"def f():\n  with c() as con: return {{'a': con.sql(\"{Q}\").fetchall().__len__()}}",
    "a dictionary": f"CONS = {{}}\ndef f():\n  CONS['x'] = duckdb.connect()\n"
    f"  return {{'a': CONS['x'].sql(\"{Q}\").fetchall().__len__()}}",
    "or": f'def g(con=None):\n  con = con or duckdb.connect()\n  return con.sql("{Q}").fetchall().__len__()\n'
    "def f(): return {'a': g()}",
    "query": "def f(): return {'a': duckdb.sql(\"from query('from ''project/d/a.csv''')\").fetchall().__len__()}",
    "a search path": "def f():\n  con = duckdb.connect()\n  con.execute(\"set file_search_path = 'project/d'\")\n"
    "  return {'a': con.sql(\"from 'a.csv'\").fetchall().__len__()}",
    "a search path of several": "def f():\n  con = duckdb.connect(config={'file_search_path': 'project/e,project/d'})\n"
    "  return {'a': con.sql(\"from 'a.csv'\").fetchall().__len__()}",
    "polars.sql": "def f(): return {'a': str(pl.sql(\"select * from read_csv('project/d/a.csv')\").collect())}",
    "a context of polars": "def f(): return {'a': str(pl.SQLContext().execute("
    "\"select * from read_csv('project/d/a.csv')\").collect())}",
}
OF_CONFIG = {  # `cfg` is read from a file, which names d/a.csv; what reads that is handed on
    "a query": "def f(): return q(duckdb.connect(), f\"from '{cfg['file']}'\")",
    "a query, of cursors": "def f(): return q(duckdb.connect().cursor(), f\"from read_csv(['{cfg['file']}'])\")",
    "a query that is put together": "def f():\n  text = 'select * '\n  text += f\"from '{cfg['file']}'\"\n"
    "  return q(duckdb.connect(), text)",
    "a query, by format": "def f(): return q(duckdb.connect(), \"from '{file}'\".format(**cfg))",
    "a query, by replace": "def f(): return q(duckdb.connect(), \"from 'FILE'\".replace('FILE', cfg['file']))",
    "a query in the configuration": "def f(): return q(duckdb.connect(), cfg['query'])",
    "a query in a file, by format": "def f(): return q(duckdb.connect(), (HERE / 'q.sql').read_text().format(**cfg))",
    "a query in a file of another suffix": "def f(): return q(duckdb.connect(), (HERE / 'query.txt').read_text())",
    "a value of a query": "def f(): return q(duckdb.connect(), 'from read_csv(?)', [cfg['file']])",
    "a value of a query, by name": "def f(): return q(duckdb, 'from read_csv($file)', {'file': cfg['file']})",
    "a module": "def f(): return q(duckdb, f\"from '{cfg['file']}'\")",
    "a query of an attribute": "class C:\n  def __init__(self): self.con = duckdb.connect()\n"
    "  def execute(self, text): return q(self.con, text)\ndef f(): return C().execute(f\"from '{cfg['file']}'\")",
    "a query of polars": "def f(): return pl.sql(f\"select * from read_csv('{cfg['file']}')\").collect()",
    "a context of polars": "def g(ctx, text): return ctx.execute(text).collect()\n"
    "def f(): return g(pl.SQLContext(), f\"select * from read_csv('{cfg['file']}')\")",
    "a reader of DuckDB": "def g(con, file): return con.read_csv(file).to_arrow_table()\n"
    "def f(): return g(duckdb.connect(), cfg['file'])",
    "a reader of polars": "def g(lib, file): return lib.read_csv(file)\ndef f(): return g(pl, cfg['file'])",
    "a file system": "import pyarrow.fs\ndef g(fs, file): return fs.open_input_stream(file).read().decode()\n"
    "def f(): return {'a': g(pyarrow.fs.LocalFileSystem(), cfg['file'])}",
    "a path that is the text of a file": "def f(): return pl.read_csv((HERE / 'path.txt').read_text())",
}
QUIET_QUERIES = {  # and d/b.csv changes
    "a query of another database": "import sqlite3\n"
    "def f(): return {'a': g(sqlite3.connect(':memory:'), cfg['table'])}\n"
    "def g(db, table): return str(db.execute(f\"select * from '{table}'\").fetchall())",
    "statements in a file": "def f():\n  con = duckdb.connect()\n"
    "  for text in (HERE / 'two.sql').read_text().strip().split(';'): found = q(con, text)\n  return found",
    "a reader of the project": "def g(source): return source.read_csv(cfg['file'])\n"
    "class C:\n  def read_csv(self, file): return {'a': file}\ndef f(): return g(C())",
    "a value that is no file": "def f(): return q(duckdb.connect(), 'select 1 where 1 = ?', [len(cfg)])",
}
CONFIG = {
    "cfg.json": '{"file": "project/d/a.csv", "query": "from \'project/d/a.csv\'", "table": "sqlite_master"}',
    "q.sql": "from '{file}'", "two.sql": "create table t (a int);\nfrom t", "path.txt": "project/d/a.csv",
    "query.txt": "from 'project/d/a.csv'",
}  # fmt: skip
READ = "import json\ncfg = json.loads((HERE / 'cfg.json').read_text())\n"
READ += "def q(con, text, values=None): return con.execute(text, parameters=values).to_arrow_table()\n"
NEWEST = {
    "by time": "def f(): return {'a': open(max(D.glob('*.csv'), key=os.path.getmtime)).read()}",
    "by time, listed": "def f(): return {'a': open(max(os.scandir(D), key=lambda e: e.stat().st_mtime).path).read()}",
    "by time of a listing": "def f():\n  n = max(os.listdir(D), key=lambda n: os.stat(D / n).st_mtime_ns)\n"
    "  return {'a': open(D / n).read()}",
    "by size": "def f(): return {'a': max(D.glob('*.csv'), key=lambda p: p.stat().st_size).name}",
}
QUIET = {  # and a file that does not matter changes
    "another file": ("def f(): return {'a': native.parse(HERE / 'd/a.csv')}", "d/b.csv"),
    "another folder": ("def f(n='a'): return {'a': native.parse(D / f'{n}.csv')}", "e/a.csv"),
    "a folder that is only a part": ("def f(): return {'a': native.parse(D / 'a.csv')}", "d/b.csv"),
    "a folder that is asked for": ("def f(): D.mkdir(exist_ok=True); return {'a': D.is_dir()}", "d/b.csv"),
    "a folder that is a bare word": ("def f(n='d'): return {'a': native.parse(n)}", "d/a.csv"),
    "the folder of the module": ("def f(): return {'a': native.parse(HERE)}", "d/a.csv"),
    "a message": (
        "def f(n=1):\n  print('see x.txt')\n  if not n: raise ValueError('x.txt')\n  return {'a': n}",
        "x.txt",
    ),
    "a log": ("import logging\ndef f(n=1): logging.info('see %s', 'x.txt'); return {'a': n}", "x.txt"),
    "a docstring": ("def f():\n  'See x.txt'\n  return {'a': 1}", "x.txt"),
    "a comment": ("def f(): return {'a': 1}  # x.txt", "x.txt"),
    "a log that it appends to": (
        "def f():\n  with open(HERE / 'x.txt', 'a') as f: f.write('1')\n  return {'a': 1}",
        "x.txt",
    ),
    "a handler of logs": (
        "import logging\ndef f():\n  logging.FileHandler(HERE / 'x.txt').close()\n  return {'a': 1}",
        "x.txt",
    ),
    "a file that no reached code names": ("def g(): return 'x.txt'\ndef f(): return {'a': 1}", "x.txt"),
    "a file of another node": ("def f(): return {'a': native.parse(D / 'a.csv')}", "e/a.csv"),
    "a connection to memory": (
        "def f(): return {'a': duckdb.connect(':memory:').sql('select 1').fetchall().__len__()}",
        "x.txt",
    ),
}
WRITES = {  # nothing changes, and nothing runs again
    "what it writes": "def f(): (HERE / 'out.csv').write_text('1'); return {'a': 1}",
    "what it writes and reads": "def f(): (HERE / 'out.csv').write_text('1'); return {'a': native.parse(HERE / "
    "'out.csv')}",
    "what it writes unseen": "def f(): native.put(HERE / 'out.csv', '1'); return {'a': 1}",
    "what it writes unseen and reads": "def f():\n  native.put(HERE / 'out.csv', '1')\n"
    "  return {'a': native.parse(HERE / 'out.csv')}",
    "what it saves over an old file": "def save(p): native.put(p, '1')\ndef f(): save(HERE / 'x.txt'); return {'a': 1}",
    "what it writes into the work folder": "def f():\n  p = HERE / '.nfrun' / 'mine.txt'\n  p.write_text('1')\n"
    "  return {'a': 1}",
    "what it appends to, by a name": "LOG = HERE / 'x.txt'\ndef log(text):\n  with LOG.open('a') as f: f.write(text)\n"
    "def f(): log('1'); return {'a': 1}",
    "a file that is only for the attempt": "def f():\n  p = HERE / 'x.tmp'\n  p.write_text('1')\n  p.unlink()\n"
    "  return {'a': 1}",
}


def touch(folder: Path) -> None:
    os.utime(folder / "d/a.csv", (1, 4_000_000_000))


def touch_older(folder: Path) -> None:
    os.utime(folder / "d/a.csv", (1, 1))


ROWS = [
    *(row(name, text, **SUB, edit="sub/a.csv" if "sub" in text else "d/a.csv") for name, text in NAMED.items()),
    *(row(f"duckdb: {name}", text) for name, text in DUCKDB.items()),
    # A search path may be any text: which files a name stands for is not known, and such a node is never reused.
    *(row(f"duckdb: {name}: another file", text, edit="d/b.csv", runs_again="search path" in name)
      for name, text in DUCKDB.items()),
    *(row(f"of a configuration: {name}", READ + text, **CONFIG) for name, text in OF_CONFIG.items()),
    *(row(f"quiet: {name}", READ + text, edit="d/b.csv", runs_again=False, **CONFIG)
      for name, text in QUIET_QUERIES.items()),
    *(row(f"newest {name}", text, act=touch) for name, text in NEWEST.items() if "time" in name),
    *(row(f"newest {name}: the content of a file", text) for name, text in NEWEST.items()),
    row("newest by time: a new file", NEWEST["by time"], edit="d/c.csv"),
    row("newest by time: in another folder", NEWEST["by time"], edit="e/a.csv", runs_again=False),
    row("times that it does not ask for", NAMED["a pattern"], act=touch_older, runs_again=False),
    *(row(f"quiet: {name}", text, edit=file, runs_again=False) for name, (text, file) in QUIET.items()),
    *(row(f"writes: {name}", text, act=lambda folder: None, runs_again=False) for name, text in WRITES.items()),
    row("pkgutil.get_data", "import pkgutil\ndef f(): return {'a': pkgutil.get_data('sub', 'a.csv').decode()}", **SUB,
        edit="sub/a.csv", by="main"),
    row("a value", "def f(n): return {'a': native.parse(D / n)}", pipeline=node(", with: {n: a.csv}")),
    row("a value: another file", "def f(n): return {'a': native.parse(D / n)}", edit="d/b.csv", runs_again=False,
        pipeline=node(", with: {n: a.csv}")),
    row("a map", "def f(r): return {'a': native.parse(D / str(r['n']))}\ndef g(): return {'n': 'a.csv'}",
        pipeline="nodes:\n  g: {python: 'steps:g'}\n  f: {python: 'steps:f', inputs: {r: g}, map: r}\n"
        "", runs_again=frozenset("f")),
    row("the log of a database", "def g(c): return c.sql('select 1').fetchall().__len__()\n"
        "def f(): return {'a': g(duckdb.connect(str(D / 'x.db')))}", edit="d/x.db.wal"),
    *(row(f"a query in a file: {name}", "def q(c, text): return c.execute(text).fetchall()\n"
          f"def f(): return {{'a': str(q(duckdb.connect(), (HERE / '{file}').read_text()))}}",
          edit=edit, runs_again=edit == "d/a.csv", **{file: "select * from 'project/d/a.csv' -- 'd/b.csv'"})
      for name, file, edit in (("a file that it reads", "q.sql", "d/a.csv"), ("a template", "q.sql.j2", "d/a.csv"),
                               ("another file", "q.sql", "d/b.csv"))),
    *(row(f"a query in a file: {name}", "def q(c, text): return c.execute(text).fetchall()\n"
          f"def f(): return {{'a': str(q(duckdb.connect(), (HERE / 'q.sql').read_text().{put}))}}",
          **{"q.sql": f"select * from '{place}/d/a.csv'"})
      for name, place, put in (("format", "{data}", "format(data=HERE)"),
                               ("replace", "$AT", "replace('$AT', str(HERE))"))),
    row("a thousand files", "def f(): return {'a': len([native.parse(p) for p in D.glob('*.n')])}", edit="d/7.n",
        **{f"d/{i}.n": "1" for i in range(1_001)}),
]  # fmt: skip
