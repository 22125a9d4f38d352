"""Edits of the files that a node's code opens: what must run the node again, and what must not."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

from edit import PIPELINE, Edit

TWO = 'nodes:\n  a: {python: "steps:f"}\n  b: {python: "steps:g"}\n'
PROCESS = 'nodes:\n  node: {python: "steps:f", executor: process}\n'


def row(
    name: str,
    code: str,
    edit: Any,
    runs_again: Any,
    *,
    p: str = PIPELINE,
    reason: str = "",
    options: dict[str, Any] | None = None,
    by: Any = "plan",
    **files: str,
) -> Edit:
    """Return a row: `code` is that of `steps.py`, `edit` the new texts of data files, or a function of the folder."""
    given = {"steps.py": code, "p.yaml": p, "data/a.csv": "x\n1\n", **files}
    more: dict[str, Any] = {"act": edit} if callable(edit) else {"edit": edit}
    again = frozenset(runs_again) if isinstance(runs_again, list | tuple) else runs_again
    return Edit(name=name, files=given, runs_again=again, reason=reason, options=options or {}, by=by, **more)


def reads(name: str, code: str, *, runs_again: Any = True, text: str | None = "x\n2\n", **more: Any) -> Edit:
    """Return the row in which `data/a.csv` changes."""
    return row(name, code, {"data/a.csv": text}, runs_again, **more)


OPEN = "def f(): return {'n': open(__file__[:-8] + 'data/a.csv').read()}"
HERE = "from pathlib import Path\nHERE = Path(__file__).parent\n"
CACHED = """
from functools import lru_cache
@lru_cache
def load(): return (HERE / 'data/a.csv').read_text()
def f(): return {'n': load()}
def g(): return {'n': load()}
def h(): return {'n': 1}
"""
THREE = TWO + '  c: {python: "steps:h", needs: [b]}\n'


def new_database(folder: Path) -> None:
    with sqlite3.connect(folder / "data/x.db") as db:
        db.execute("create table if not exists t (n int)")
        db.execute("insert into t values (1)")
    db.close()


DATABASE = f"""{HERE}
import sqlite3
def f():
    db = sqlite3.connect(HERE / 'data/x.db')
    db.execute('create table if not exists t (n int)')
    n = len(db.execute('select * from t').fetchall())
    db.close()
    return {{'n': n}}
"""


def new_array(folder: Path) -> None:
    import numpy

    numpy.save(folder / "a.npy", [3])


def touch(folder: Path) -> None:
    os.utime(folder / "data/a.csv", (1, 1))


ROWS = [
    reads("a csv opened by a function", OPEN, reason="the file data/a.csv changed"),
    row("another working directory, after a relative name", "def f(): return {'n': open('conf.json').read()}",
        os.chdir, True, **{"conf.json": "1", "../conf.json": "2"}),
    row("another working directory, after a relative pattern",
        "import glob\ndef f(): return {'n': len(glob.glob('*.json'))}", os.chdir, True,
        reason="the working directory changed", **{"conf.json": "1", "../conf.json": "2"}),
    row("another working directory, after a relative name to write",
        "def f():\n    with open('out.txt', 'w') as file: file.write('1')\n    return {'n': 1}", os.chdir, True,
        reason="the working directory changed"),
    row("a file opened relative to an open folder",
        f"{HERE}import os\ndef f():\n    folder = os.open(HERE / 'data', os.O_RDONLY | os.O_DIRECTORY)\n"
        "    n = os.open('a.csv', os.O_RDONLY, dir_fd=folder)\n    text = os.read(n, 9)\n    os.close(n)\n"
        "    return {'n': text}", {}, True, reason="nfrun cannot know in which folder"),
    reads("a file that goes away", f"{HERE}def f(): return {{'n': 1 if try_open() else 2}}\ndef try_open():\n"
          "    try: return open(HERE / 'data/a.csv').read()\n    except OSError: return ''",
          text=None, reason="the file data/a.csv is gone"),
    row("a missing file appears", f"{HERE}def f():\n    try: return {{'n': open(HERE / 'data/b.csv').read()}}\n"
        "    except FileNotFoundError: return {'n': 'none'}", {"data/b.csv": "1"}, True,
        reason="the file data/b.csv is new"),
    reads("by pathlib", f"{HERE}import json\ndef f(): return {{'n': len((HERE / 'data/a.csv').read_bytes())}}"),
    row("a json config by pathlib", f"{HERE}import json\ndef f(): return json.loads((HERE / 'conf.json').read_text())",
        {"conf.json": '{"n": 2}'}, True, reason="the file conf.json changed", **{"conf.json": '{"n": 1}'}),
    reads("by os.open", "import os\ndef f():\n    n = os.open(__file__[:-8] + 'data/a.csv', os.O_RDONLY)\n"
          "    text = os.read(n, 9)\n    os.close(n)\n    return {'n': text}"),
    reads("by csv in another module", "import helpers\ndef f(): return helpers.load()",
          **{"helpers.py": f"{HERE}import csv\ndef load(): return [*csv.DictReader(open(HERE / 'data/a.csv'))]"}),
    reads("by fileinput of the standard library",
          f"{HERE}import fileinput\ndef f(): return {{'n': ''.join(fileinput.input(HERE / 'data/a.csv'))}}"),
    row("by gzip", f"{HERE}import gzip\ndef f():\n    try: return {{'n': gzip.open(HERE / 'data/a.csv').read()}}\n"
        "    except OSError as error: return {'n': 'bad'}", {"data/a.csv": "x\n2\n"}, True),
    reads("by mmap", f"{HERE}import mmap\ndef f():\n    with open(HERE / 'data/a.csv', 'rb') as file:\n"
          "        return {'n': bytes(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))}"),
    reads("by pandas.read_csv", f"{HERE}import pandas as pd\ndef f(): return pd.read_csv(HERE / 'data/a.csv')"),
    reads("by numpy.loadtxt", f"{HERE}import numpy as np\ndef f(): return {{'n': float(np.loadtxt(HERE / 'data/a.csv', "
          "skiprows=1))}"),
    row("by numpy.load", f"{HERE}import numpy as np\ndef f():\n"
        "    try: return {'n': int(np.load(HERE / 'a.npy').sum())}\n"
        "    except (OSError, ValueError): return {'n': 0}", new_array, True, **{"a.npy": "1"}),
    reads("two nodes and one lru_cache", HERE + CACHED, p=THREE, runs_again=["a", "b", "c"]),
    reads("a cache in a variable", f"{HERE}CACHE = {{}}\ndef load(name):\n    if name not in CACHE:\n"
          "        CACHE[name] = (HERE / name).read_text()\n    return CACHE[name]\n"
          "def f(): return {'n': load('data/a.csv')}\ndef g(): return {'n': load('data/a.csv')}",
          p=TWO.replace('steps:g"', 'steps:g", cache: true').replace('steps:f"', 'steps:f", cache: true')),
    reads("a function that is wrapped by an assignment", f"{HERE}from functools import lru_cache\n"
          "def _load(): return (HERE / 'data/a.csv').read_text()\nload = lru_cache(maxsize=None)(_load)\n"
          "def f(): return {'n': load()}\ndef g(): return {'n': load()}", p=TWO),
    reads("a function of a library that is wrapped by an assignment", f"{HERE}from functools import lru_cache\n"
          "read = lru_cache(Path.read_text)\ndef load(): return read(HERE / 'data/a.csv')\n"
          "def f(): return {'n': load()}\ndef g(): return {'n': load()}", p=TWO, options={"slots": 1}),
    reads("a cache in a variable that a library fills", f"{HERE}import heapq\nKEPT = []\ndef load():\n"
          "    if not KEPT: heapq.heappush(KEPT, (HERE / 'data/a.csv').read_text())\n    return KEPT[0]\n"
          "def f(): return {'n': load()}\ndef g(): return {'n': load()}", p=TWO, options={"slots": 1}),
    reads("a method that keeps what it has read", f"{HERE}class Data:\n    text = None\n    def get(self):\n"
          "        if self.text is None: self.text = (HERE / 'data/a.csv').read_text()\n        return self.text\n"
          "DATA = Data()\ndef f(): return {'n': DATA.get()}\ndef g(): return {'n': DATA.get()}", p=TWO),
    reads("a function with global", f"{HERE}TEXT = ''\ndef load():\n    global TEXT\n"
          "    TEXT = TEXT or (HERE / 'data/a.csv').read_text()\n    return TEXT\n"
          "def f(): return {'n': load()}\ndef g(): return {'n': load()}",
          p=TWO.replace('"}', '", cache: true}')),
    reads("a cache in a closure", f"{HERE}def loader():\n    cache = {{}}\n    def load(name):\n"
          "        if name not in cache: cache[name] = (HERE / name).read_text()\n        return cache[name]\n"
          "    return load\nload = loader()\n"
          "def f(): return {'n': load('data/a.csv')}\ndef g(): return {'n': load('data/a.csv')}",
          p='nodes:\n  a: {python: "steps:f", cache: true}\n  b: {python: "steps:g", cache: true}\n',
          options={"slots": 1}),
    reads("read when the module is imported", f"{HERE}TEXT = (HERE / 'data/a.csv').read_text()\n"
          "def f(): return {'n': TEXT}\ndef g(): return {'n': 1}", p=TWO, runs_again=["a"]),
    reads("read by a function when the module is imported", f"{HERE}"
          "def load(): return (HERE / 'data/a.csv').read_text()\nTEXT = load()\n"
          "LENGTH = len(TEXT)\ndef f(): return {'n': 2}\ndef g(): return {'n': LENGTH}", p=TWO,
          runs_again=["b"]),
    reads("read by a statement when the module is imported", f"{HERE}with open(HERE / 'data/a.csv') as file:\n"
          "    TEXT = file.read()\ndef f(): return {'n': TEXT}\ndef g(): return {'n': 1}", p=TWO),
    reads("read when a module is imported late", "def f():\n    import settings\n    return {'n': settings.TEXT}",
          **{"settings.py": f"{HERE}TEXT = open(HERE / 'data/a.csv').read()"}),
    reads("read on the import of a module in another folder, by a computed name",
          "from importlib import import_module\ndef f(name='tings'): return {'n': import_module('set' + name).TEXT}",
          **{"../elsewhere/settings.py": "TEXT = open('project/data/a.csv').read()"},
          p='nodes:\n  node: {python: "more:f"}\n',
          **{"more.py": "import os, sys\nfrom steps import f as g\ndef f():\n"
                        "    sys.path.append(os.path.realpath(__file__ + '/../../elsewhere'))\n    return g()"}),
    row("a listed folder gains a file", f"{HERE}import os\ndef f(): return {{'n': len(os.listdir(HERE / 'data'))}}",
        {"data/b.csv": ""}, True, reason="the file data/b.csv is new"),
    row("a folder listed by iterdir loses a file", f"{HERE}def f(): return {{'n': len([*(HERE / 'data').iterdir()])}}",
        {"data/a.csv": None}, True),
    row("a folder is walked", f"{HERE}import os\ndef f(): return {{'n': sum(len(files) for _, _, files in "
        "os.walk(HERE / 'data'))}", {"data/deep/er/b.csv": ""}, True, **{"data/deep/er/a.csv": ""}),
    row("glob finds another file",
        f"{HERE}import glob\ndef f(): return {{'n': len(glob.glob(f'{{HERE}}/data/*.csv'))}}",
        {"data/b.csv": ""}, True, reason="the file data/b.csv is new"),
    row("the pipeline's folder gains a file", f"{HERE}import os\ndef f(): return {{'n': len(os.listdir(HERE))}}",
        {"b.csv": ""}, True, reason="the list of files in . changed"),
    row("glob finds a file in a folder that was there",
        f"{HERE}import glob\ndef f(): return {{'n': len(glob.glob('data/*/x.csv', root_dir=HERE))}}",
        {"data/two/x.csv": ""}, True, **{"data/one/x.csv": "", "data/two/y.csv": ""}),
    row("Path.glob finds another file", f"{HERE}def f(): return {{'n': len([*HERE.glob('data/**/*.csv')])}}",
        {"data/deep/b.csv": ""}, True, **{"data/deep/a.csv": ""}),
    row("Path.rglob finds a file in a folder that was there",
        f"{HERE}def f(): return {{'n': len([*HERE.rglob('x.csv')])}}",
        {"data/two/x.csv": ""}, True, **{"data/one/x.csv": "", "data/two/y.csv": ""}),
    row("a database of SQLite", DATABASE, new_database, True, **{"data/x.db": ""}),
    reads("in a pool of threads", f"{HERE}from concurrent.futures import ThreadPoolExecutor\n"
          "def read(name): return (HERE / name).read_text()\ndef f():\n    with ThreadPoolExecutor(2) as pool:\n"
          "        return {'n': ''.join(pool.map(read, ['data/a.csv']))}"),
    reads("in a pool that calls a library", f"{HERE}from concurrent.futures import ThreadPoolExecutor\n"
          "def f():\n    with ThreadPoolExecutor(2) as pool:\n"
          "        return {'n': ''.join(pool.map(Path.read_text, [HERE / 'data/a.csv']))}"),
    reads("in a pool of processes", f"{HERE}from concurrent.futures import ProcessPoolExecutor\n"
          "def read(name): return (HERE / name).read_text()\ndef f():\n    with ProcessPoolExecutor(1) as pool:\n"
          "        return {'n': ''.join(pool.map(read, ['data/a.csv']))}", reason="the file data/a.csv changed"),
    reads("in a forked process, relative to the working directory",
          "import os\ndef f():\n    if not os.fork():\n        open('project/data/a.csv').close()\n"
          "        os._exit(0)\n    os.wait()\n    return {'n': 1}", reason="the file data/a.csv changed"),
    reads("in a pool of processes of a worker", f"{HERE}from multiprocessing import Pool\n"
          "def read(name): return (HERE / name).read_text()\ndef f():\n    with Pool(1) as pool:\n"
          "        return {'n': ''.join(pool.map(read, ['data/a.csv']))}", p=PROCESS, by="process"),
    row("a file that a forked process writes", f"{HERE}from multiprocessing import get_context\n"
        "def write(): (HERE / 'out.txt').write_text('1')\ndef f():\n"
        "    process = get_context('fork').Process(target=write)\n    process.start()\n    process.join()\n"
        "    return {'n': 1}", {"out.txt": None}, True, reason="the file out.txt, which it wrote, is gone"),
    reads("in a coroutine", f"{HERE}import asyncio\nasync def f():\n    await asyncio.sleep(0)\n"
          "    return {'n': await asyncio.to_thread((HERE / 'data/a.csv').read_text)}"),
    reads("in a process", OPEN, p=PROCESS, reason="the file data/a.csv changed"),
    reads("two nodes and one lru_cache in a process", HERE + CACHED, p=THREE.replace('"}', '", executor: process}')
          .replace("[b]}", "[b], executor: process}"), runs_again=["a", "b", "c"], options={"slots": 1}),
    reads("by a reader of batches", f"{HERE}import pyarrow as pa\ndef f():\n"
          "    schema = pa.schema({'n': pa.string()})\n    def batches():\n"
          "        yield pa.record_batch({'n': [open(HERE / 'data/a.csv').read()]}, schema)\n"
          "    return pa.RecordBatchReader.from_batches(schema, batches())"),
    reads("relative to the working directory", "import os\ndef f():\n"
          "    return {'n': open(os.path.relpath(__file__[:-8] + 'data/a.csv')).read()}"),
    row("outside of the pipeline's folder", f"{HERE}def f(): return {{'n': (HERE / '../other.csv').read_text()}}",
        {"../other.csv": "2"}, True, **{"../other.csv": "1"}),
    row("a file that a node needs", f"{HERE}def f(): (HERE / 'data/a.csv').read_text(); return {{'n': 1}}\n"
        "def g(): return {'n': 2}", {"data/a.csv": "x\n2\n"}, True,
        p='nodes:\n  a: {python: "steps:f"}\n  b: {python: "steps:g", needs: [a]}\n'),
    reads("by the command, read on import", f"{HERE}TEXT = (HERE / 'data/a.csv').read_text()\n"
          "def f(): return {'n': TEXT}\ndef g(): return {'n': 1}", p=TWO, runs_again=["a"], by="process"),
    reads("by the command, two nodes and one lru_cache", HERE + CACHED, p=TWO, by="process"),
    # -- files written
    row("a written file changes", f"{HERE}def f(): (HERE / 'out.txt').write_text('1'); return {{'n': 1}}",
        {"out.txt": "2"}, True, reason="the file out.txt, which it wrote, is gone or has changed"),
    row("a written file goes away", f"{HERE}def f(): (HERE / 'out.txt').write_text('1'); return {{'n': 1}}",
        {"out.txt": None}, True, reason="the file out.txt, which it wrote, is gone or has changed"),
    row("a file written to another name and renamed goes away", f"{HERE}import os\ndef f():\n"
        "    (HERE / 'out.tmp').write_text('1')\n    os.replace(HERE / 'out.tmp', HERE / 'out.txt')\n"
        "    return {'n': 1}", {"out.txt": None}, True, reason="the file out.txt, which it wrote, is gone"),
    row("a file in a folder that is renamed goes away", f"{HERE}import os\ndef f():\n    os.mkdir(HERE / 'tmp')\n"
        "    (HERE / 'tmp/out.txt').write_text('1')\n    os.rename(HERE / 'tmp', HERE / 'out')\n    return {'n': 1}",
        {"out/out.txt": None}, True, reason="the file out/out.txt, which it wrote, is gone or has changed"),
    row("a folder that is renamed", f"{HERE}import os\ndef f():\n    os.mkdir(HERE / 'tmp')\n"
        "    (HERE / 'tmp/out.txt').write_text('1')\n    os.rename(HERE / 'tmp', HERE / 'out')\n    return {'n': 1}",
        {}, False),
    row("a file opened to read and to write", f"{HERE}def f():\n    with open(HERE / 'data/a.csv', 'r+') as file:\n"
        "        return {'n': file.read()}", {}, True, reason="it opens data/a.csv to read and to write"),
    row("a file that it reads and changes", f"{HERE}def f():\n    path = HERE / 'data/a.csv'\n"
        "    text = path.read_text()\n    path.write_text(text + '1')\n    return {'n': 1}", {}, True,
        reason="data/a.csv changed while it ran"),
    # -- what must not run it again
    row("the distributions that are installed", "import importlib.metadata\n"
        "def f(): return {'n': len([*importlib.metadata.distributions()]) > 0}", {"b.txt": ""}, False),
    row("a pool of processes that open nothing", "from multiprocessing import Pool\ndef f():\n"
        "    with Pool(2) as pool:\n        return {'n': sum(pool.map(abs, [1, -2]))}", {}, False),
    row("a touched file", OPEN, touch, False),
    row("another working directory, after an absolute name", OPEN, os.chdir, False),
    row("folders that are walked and removed, relative to open folders", "import os, tempfile\ndef f():\n"
        "    with tempfile.TemporaryDirectory() as folder:\n        os.makedirs(f'{folder}/x/y/z')\n"
        "        return {'n': len([*os.fwalk(folder)])}", {}, False),
    row("the same content by another file", OPEN, {"data/a.csv": "x\n1\n"}, False),
    row("another file in the folder", OPEN, {"data/b.csv": "1"}, False),
    row("a temporary file", "import tempfile\ndef f():\n    with tempfile.NamedTemporaryFile('w+') as file:\n"
        "        file.write('1')\n        file.seek(0)\n        return {'n': file.read()}", {}, False),
    row("its own scratch folder", "def f(context):\n    path = context.scratch / 'x'\n    path.write_text('1')\n"
        "    return {'n': path.read_text()}", {}, False),
    row("a file of an installed package", "import extra\ndef f(): return {'n': extra.text()}",
        {"../site-packages/extra/data.txt": "2"}, False,
        **{"../site-packages/extra/__init__.py": f"{HERE}def text(): return (HERE / 'data.txt').read_text()",
           "../site-packages/extra/data.txt": "1"}),
    row("a file that it wrote before it read it", f"{HERE}def f():\n    (HERE / 'out.txt').write_text('1')\n"
        "    return {'n': (HERE / 'out.txt').read_text()}", {}, False),
    row("a file that was only for the attempt", f"{HERE}import os\ndef f():\n    (HERE / 'x.tmp').write_text('1')\n"
        "    text = (HERE / 'x.tmp').read_text()\n    os.remove(HERE / 'x.tmp')\n    return {'n': text}", {}, False),
    row("a cache of its own that it fills", f"{HERE}def f():\n    try: text = (HERE / 'cache').read_text()\n"
        "    except OSError: (HERE / 'cache').write_text('1'); text = '1'\n    return {'n': text}", {}, False),
    row("a folder that it fills and lists", f"{HERE}import os\ndef f():\n    os.makedirs(HERE / 'out', exist_ok=True)\n"
        "    before = os.listdir(HERE / 'out')\n    (HERE / 'out/x').write_text('1')\n    return {'n': 1}", {}, False),
    row("the listing of the pipeline's folder, in which the work folder is made", f"{HERE}import os\n"
        "def f(): return {'n': len(os.listdir(HERE))}", {}, False),
    row("a log to which it only appends", f"{HERE}def f():\n    with open(HERE / 'log', 'a') as file: file.write('1')\n"
        "    return {'n': 1}", {"log": ""}, False),
    row("a virtual environment", f"{HERE}def f(): return {{'n': (HERE / 'env/x').read_text()}}",
        {"env/x": "2"}, False, **{"env/x": "1", "env/pyvenv.cfg": ""}),
    row("what the function reads for another node, as it remembers nothing",
        f"{HERE}def load(name): return (HERE / name).read_text()\n"
        "def f(): return {'n': load('data/a.csv')}\ndef g(): return {'n': load('data/b.csv')}",
        {"data/b.csv": "2"}, ["b"], p=TWO, **{"data/b.csv": "1"}),
    row("what the function reads for another node, as a logger keeps nothing",
        f"{HERE}import logging\nLOG = logging.getLogger('x')\n"
        "NAMES = ['a', 'b']\ndef load(name):\n    LOG.info(NAMES)\n    print(NAMES)\n"
        "    return (HERE / name).read_text()\n"
        "def f(): return {'n': load('data/a.csv')}\ndef g(): return {'n': load('data/b.csv')}",
        {"data/b.csv": "2"}, ["b"], p=TWO, **{"data/b.csv": "1"}),
    # `a` starts first: had `b` ended before, what `a` reads could not be in it.
    row("what a function reads that calls a variable, as that may keep it",
        f"{HERE}from collections import namedtuple\nRow = namedtuple('Row', 'n')\n"
        "def load(name): return Row((HERE / name).read_text())\n"
        "def f(): return {'n': load('data/a.csv').n}\ndef g(): return {'n': load('data/b.csv').n}",
        {"data/a.csv": "2"}, ["a", "b"], p=TWO, **{"data/b.csv": "1"}),
    row("a warning and a traceback that show the source", "import warnings, traceback\ndef f():\n"
        "    warnings.warn('x')\n    try: 1 / 0\n    except ArithmeticError: traceback.format_exc()\n"
        "    return {'n': 1}\n",
        lambda folder: (folder / "steps.py").write_text((folder / "steps.py").read_text() + "# more\n"), False),
    row("asyncio, a pool of threads, and a pipe between processes", "import asyncio, multiprocessing\n"
        "from concurrent.futures import ThreadPoolExecutor\nasync def f():\n"
        "    with ThreadPoolExecutor(1) as pool:\n"
        "        n = await asyncio.get_running_loop().run_in_executor(pool, int, '1')\n"
        "    a, b = multiprocessing.Pipe()\n    a.send(n)\n    return {'n': b.recv()}", {}, False),
]  # fmt: skip
