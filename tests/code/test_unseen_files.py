"""The files that code reads unseen: which paths are put together, and which cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nfrun.code.facts.code_facts import CodeFacts, shared_variables
from nfrun.code.facts.fact_reader import FactReader
from nfrun.code.fingerprint import Fingerprints

PQ = (
    "import os, glob, sys, io, tempfile, subprocess, pyarrow as pa, pyarrow.parquet as pq, polars as pl, pandas as pd\n"
)
PQ += "import pyarrow.csv, pyarrow.dataset, duckdb\nfrom pathlib import Path\n"

# The code after the imports, and the files that it names; None: some path cannot be put together.
KNOWN: dict[str, tuple[str, list[str]]] = {
    "a constant": ("def f(): return pq.read_table('d/a.parquet')", ["d/a.parquet"]),
    "a name without a folder": ("def f(): return pd.read_parquet('data')", ["data"]),
    "a keyword": ("def f(): return pl.read_parquet(source='d/a.parquet')", ["d/a.parquet"]),
    "scan": ("def f(): return pl.scan_csv('d/*.csv').collect()", ["d/*.csv"]),
    "feather": ("def f(): return pd.read_feather('a.feather')", ["a.feather"]),
    "a data set": ("def f(): return pa.dataset.dataset('d', format='parquet')", ["d"]),
    "options that are no file": (
        "def f(): return pa.csv.read_csv('a.csv', read_options=pa.csv.ReadOptions(block_size=9))",
        ["a.csv"],
    ),
    "an ORC file": ("def f(): return pa.orc.ORCFile('a.orc').read()", ["a.orc"]),
    "a mapped file": (
        "def f():\n  with pa.memory_map('a.arrow') as m: return pa.ipc.open_file(m).read_all()",
        ["a.arrow"],
    ),
    "a local name": ("def f():\n  p = 'd/a.csv'\n  return pl.read_csv(p)", ["d/a.csv"]),
    "one of two": ("def f(x=1):\n  p = 'a.csv' if x else 'b.csv'\n  return pl.read_csv(p)", ["a.csv", "b.csv"]),
    "a module's constant": ("P = 'd/a.csv'\ndef f(): return pl.read_csv(P)", ["d/a.csv"]),
    "a list": ("def f(): return [pl.read_csv(p) for p in ['a.csv', 'b.csv']]", ["a.csv", "b.csv"]),
    "a loop": ("def f():\n  for n, p in enumerate(('a.csv', 'b.csv')): pl.read_csv(p)", ["a.csv", "b.csv"]),
    "a mapping": ("PS = {'a': 'a.csv', 'b': 'b.csv'}\ndef f(k=1): return pl.read_csv(PS[k])", ["a.csv", "b.csv"]),
    "items": ("PS = {'a': 'a.csv'}\ndef f():\n  for k, p in PS.items(): pl.read_csv(p)", ["a.csv"]),
    "a sum": ("def f(x): return pl.read_csv('d/' + x + '.csv')", ["d/*.csv"]),
    "an f-string": ("def f(x): return pl.read_csv(f'd/{x.y}.csv')", ["d/*.csv"]),
    "percent": ("def f(x): return pl.read_csv('d/%s_%02d.csv' % x)", ["d/*_*.csv"]),
    "format": ("def f(x): return pl.read_csv('d/{}_{}.csv'.format(1, x))", ["d/1_*.csv"]),
    "a value in an f-string": (
        "def f(month): return pl.read_csv(f'd/{month}.csv')",
        ["d/5.csv", "d/v.csv"],
    ),
    "a formatted value": ("def f(month): return pl.read_csv(f'd/{month:>02}.csv')", ["d/*.csv"]),
    "os.path.join": ("def f(): return pl.read_csv(os.path.join('d', 'e', 'a.csv'))", ["d/e/a.csv"]),
    "a folder and a name": ("D = Path('d')\ndef f(x): return pl.read_csv(D / 'e' / x)", ["d/e/**"]),
    "beside the module": (
        "HERE = Path(__file__).parent\ndef f(): return pl.read_csv(HERE / 'a.csv')",
        ["a.csv"],
    ),
    "resolved": (
        "H = Path(__file__).resolve().parent\ndef f(): return pl.read_csv(str(H / 'a.csv'))",
        ["a.csv"],
    ),
    "dirname": ("H = os.path.dirname(os.path.abspath(__file__))\ndef f(): pl.read_csv(H + '/a.csv')", ["a.csv"]),
    "parents": ("H = Path(__file__).parents[0]\ndef f(): return pl.read_csv(H.joinpath('a.csv'))", ["a.csv"]),
    "glob": ("def f(): return [pl.read_csv(p) for p in sorted(glob.glob('d/*.csv'))]", ["d/*.csv"]),
    "Path.glob": ("def f(): return [pl.read_csv(p) for p in Path('d').glob('*.csv')]", ["d/*.csv"]),
    "rglob": ("def f(): return [pl.read_csv(p) for p in Path('d').rglob('*.csv')]", ["d/**/*.csv"]),
    "iterdir": ("def f(): return [pl.read_csv(p) for p in Path('d').iterdir()]", ["d/**"]),
    "a folder in an f-string": ("def f(x): return pl.read_csv(f'd/{x.y}/a.csv')", ["d/**/a.csv"]),
    "os.scandir": (
        "def f():\n  with os.scandir('d') as found: p = max((e.stat().st_mtime, e.path) for e in found)[1]\n"
        "  return pl.read_csv(p)",
        ["d/**"],
    ),
    "the newest": ("def f(): return pl.read_csv(max((os.path.getmtime(p), p) for p in glob.glob('d/*'))[1])", ["d/*"]),
    "a field": (
        "import dataclasses as d\n@d.dataclass\nclass C:\n  path: str = d.field(default='d/a.csv', repr=False)\n"
        "  def load(self): return pl.read_csv(self.path)\ndef f(): return C().load()",
        ["d/a.csv"],
    ),
    "another suffix": ("def f(): return pl.read_csv(Path('d/a.txt').with_suffix('.csv'))", ["d/a.csv", "d/a.txt"]),
    "an argument's default": ("def f(p='a.csv'): return pl.read_csv(p)", ["a.csv"]),
    "an argument of a helper": (
        "def g(p): return pl.read_csv(p)\ndef f(): return g('a.csv'), g(p='b.csv')",
        ["a.csv", "b.csv"],
    ),
    "a helper's helper": (
        "def h(p): return pl.read_csv(p)\ndef g(p): return h('d/' + p)\ndef f(): return g('a.csv')",
        ["d/a.csv", "a.csv"],
    ),
    "a helper that returns it": ("def g(x): return f'd/{x.y}.csv'\ndef f(): return pl.read_csv(g(1))", ["d/*.csv"]),
    "arguments of a helper": ("def g(*words): subprocess.run(words)\ndef f(): g('cat', 'd/a.csv')", ["cat", "d/a.csv"]),
    "on import": ("TABLE = pl.read_csv('d/a' + '.csv')\ndef f(): return TABLE", ["d/a.csv"]),
    "in another module": (
        "import paths\ndef f(): return pl.read_csv(paths.A), pl.read_csv(paths.D / 'b.csv')",
        ["d/a.csv", "d/b.csv"],
    ),
    "a query": (
        "def f(df): return duckdb.sql(\"select * from 'd/a.csv' join read_json('b.json') using (k)\")",
        ["d/a.csv", "b.json"],
    ),
    "a query with a pattern": ("def f(x): return duckdb.sql(f\"from 'd/{x.y}.csv' where k = '{x}'\")", ["d/*.csv"]),
    "a connection": ("def f():\n  c = duckdb.connect()\n  return c.sql(\"from 'a.csv'\").arrow()", ["a.csv"]),
    "a database": ("def f():\n  with duckdb.connect('a.db') as c: return c.sql('from t').arrow()", ["a.db"]),
    "a child process": (
        "def f(): subprocess.run([sys.executable, 'x.py', '--conf=c.yaml', 'data'])",
        ["x.py", "--conf", "c.yaml", "data"],
    ),
    "a shell's line": ("def f(): os.system('sort <a.txt | python x.py > b.txt')", ["a.txt", "x.py", "b.txt"]),
    "a sum of lists": ("def f(): subprocess.check_call(['cat'] + ['a.txt'])", ["a.txt"]),
    "in a folder": ("def f(): subprocess.run(['cat', 'a.txt'], cwd='d')", ["a.txt", "d/a.txt"]),
}
BUFFERS = {
    "an input": "def f(t): return pl.read_csv(t)",
    "an input of a helper": "def g(t): return pq.read_table(t)\ndef f(t): return g(t)",
    "a buffer": "def f(t): return pq.read_table(pa.BufferReader(t['x'][0].as_py()))",
    "bytes": "def f(t): return pl.read_csv(io.BytesIO(t.text.encode()))",
    "an open file": "def f(t):\n  with open('x', 'rb') as file: return pq.read_table(file)",
    "a temporary file": "def f(t):\n  with tempfile.NamedTemporaryFile() as file: return pq.read_table(file.name)",
    "a temporary folder": "def f(t):\n  d = tempfile.mkdtemp()\n  return pq.read_table(os.path.join(d, 'a'), f'{d}/b')",
    "the scratch folder": "def f(context): return pq.read_table(context.scratch / 'a')",
    "a query of a table": "def f(t): return duckdb.sql('select k, count(*) from t group by k').arrow()",
    "a query with a value": "def f(t, n=1): return duckdb.sql(f\"select * from t where k = '{n}'\").arrow()",
    "a query in memory": "def f(t):\n  c = duckdb.connect(':memory:')\n  return c.execute('select 1').arrow()",
    "written, not read": "def f(t):\n  with pa.OSFile(t.name, 'wb') as sink: sink.write(b'')",
    "read by Python": "def f(p): return open(p).read(), pd.read_csv(p)",
    "a database of polars": "def f(c): return pl.read_database('select 1', c)",
}
UNKNOWN = {
    "a column of an input": "def f(t): return [pl.read_csv(p) for p in t['path'].to_pylist()]",
    "an attribute": "def f(t): return pl.read_csv(t.path)",
    "a variable": "def f(t): return pl.read_csv(os.environ['X'])",
    "a variable of the run": "def f(context): return pl.read_csv(context.env['X'])",
    "an argument": "def f(t): return pl.read_csv(sys.argv[1])",
    "a folder that is not known": "def f(t): return pl.read_csv(f'{t.d}/a.csv')",
    "a folder of an input": "def f(t): return pl.read_csv(Path(t) / 'a.csv')",
    "a function as a value": "def f(t): return list(map(pl.read_csv, t))",
    "a helper as a value": "def g(p): return pl.read_csv(p)\ndef f(t): return list(map(g, t))",
    "what a package returns": "import paths2\ndef f(t): return pl.read_csv(paths2.find())",
    "one of two": "def f(t):\n  p = 'a.csv'\n  if t: p = t.path\n  return pl.read_csv(p)",
    "a query": "def f(t): return duckdb.sql(t.query)",
    "a table that is not known": "def f(t): return duckdb.sql(f'select * from {t.name}').arrow()",
    "a command": "def f(t): subprocess.run(t.words)",
    "a word of a command": "def f(t): subprocess.run(['cat', t.path])",
    "a line for a shell": "def f(t): os.system(t.line)",
    "read in the home": "def f(t): return pl.read_csv(Path.home() / 'a.csv')",
}
PATHS = "from pathlib import Path\nA = 'd/a.csv'\nD = Path('d')\n"


def facts(folder: Path, text: str, arguments: dict[str, Any]) -> CodeFacts:
    (folder / "steps.py").write_text(PQ + text)
    (folder / "paths.py").write_text(PATHS)
    return FactReader(Fingerprints(folder)).of("steps", "f", arguments)


@pytest.mark.parametrize("name", KNOWN)
def test_paths_are_put_together(name: str, tmp_path: Path) -> None:
    text, files = KNOWN[name]
    arguments = {"month": [5, "v"], "k": {"x": "month", "y": ["d"]}} if "value in" in name else {}
    found = facts(tmp_path, text, arguments)
    assert not found.unknown_files
    assert set(files) <= {*found.files, *(name.rstrip("/") for name in found.named)}


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("HERE / x.y", "p/**"),
        ("HERE / 'd' / f'{x.y}.csv'", "p/d/*.csv"),
        ("HERE.parent / 'd' / (x.y + '.csv')", "d/*.csv"),
        ("f'{HERE}/d/{x.y}.csv'", "p/d/*.csv"),
        ("os.path.join(os.path.dirname(os.path.dirname(__file__)), 'd', '%s.csv' % x)", "d/*.csv"),
        ("Path(__file__).parents[1] / 'e' / f'{x.y}.csv'", "e/*.csv"),
        ("Path(__file__).with_name('c') / f'{x.y}.csv'", "p/c/*.csv"),
    ],
)
def test_paths_from_the_file_of_the_module(path: str, file: str, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "steps.py").write_text(
        f"{PQ}HERE = Path(__file__).resolve().parent\ndef f(x): return pl.read_csv({path})"
    )
    found = FactReader(Fingerprints(tmp_path)).of("p.steps", "f")
    assert not found.unknown_files
    assert file in found.files


@pytest.mark.parametrize("name", BUFFERS)
def test_what_is_no_file_is_not_asked_for(name: str, tmp_path: Path) -> None:
    found = facts(tmp_path, BUFFERS[name], {})
    assert [*found.unknown_files, *found.files] == []


def test_what_the_code_writes_is_known(tmp_path: Path) -> None:
    text = (
        "OUT = 'o/a.csv'\ndef f(to):\n  t = pl.read_csv('d/a.csv')\n  t.write_csv(OUT)\n  t.write_csv(file='o/b.csv')\n"
        "  pq.write_table(t, 'o/c.csv')\n  t.write_csv(to)\n  open('x.log', 'a')\n  return 'd/b.csv'"
    )
    found = facts(tmp_path, text, {"to": "o/d.csv"})
    assert found.files == ["d/a.csv"]
    assert set(found.written) == {"o/a.csv", "o/b.csv", "o/c.csv", "o/d.csv"}
    assert {name.rstrip("/") for name in found.named} == {"d/a.csv", "d/b.csv", *found.written}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_path_that_cannot_be_put_together(name: str, tmp_path: Path) -> None:
    found = facts(tmp_path, UNKNOWN[name], {})
    assert len(found.unknown_files) == 1
    assert found.unknown_files[0].where.startswith("steps.py:")


@pytest.mark.parametrize(
    "text",
    [
        "def f(x): return pl.read_csv({})".format("+".join(["x"] * 2000)),
        "def f(x): return subprocess.run([1]+{})".format("+".join(["[x.y]"] * 2000)),
        "X = {{}}\ndef f(k):\n  X[{}] = 1\n  return X, pl.read_csv(k.path)".format("+".join(["k"] * 2000)),
        "def g(p): return g(p.a) or pl.read_csv(p)\ndef f(x): return g(x.path)",
    ],
)
def test_deep_and_circular_code_is_read_to_the_end(text: str, tmp_path: Path) -> None:
    found = facts(tmp_path, text, {})
    assert len(found.unknown_files) == 1
    assert set(shared_variables({"a": found, "b": found})) == ({"a", "b"} if "X" in text else set())


def test_what_a_new_process_opens_counts_and_what_a_forked_one_opens_is_seen(tmp_path: Path) -> None:
    text = (
        "import multiprocessing\ndef f():\n  with multiprocessing.get_context('%s').Pool() as pool: pool.map(g, [1])\n"
        "def g(n):\n  open(f'd/{n}.txt').read()\n  open('w.txt', 'w')\n  Path('x.txt').write_text('')\n"
        "  np.save('s.npy', n)\n"
    )
    found = facts(tmp_path, text % "spawn", {})
    assert found.files == ["d/*.txt", "d/1.txt"]
    assert set(found.written) >= {"w.txt", "x.txt", "s.npy"}
    found = facts(tmp_path, text % "fork", {})
    assert found.files == []
