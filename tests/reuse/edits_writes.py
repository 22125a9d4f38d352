"""Files that Python code writes unseen: nodes run again when the content that they gave them is gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edit import Edit

IMPORTS = """
import io, os, sys, tempfile
from pathlib import Path
import duckdb, polars as pl, pyarrow as pa
import pyarrow.csv, pyarrow.dataset, pyarrow.feather, pyarrow.parquet as pq
T = pa.table({'a': [1, 2]})
"""


def written(
    name: str,
    steps: str,
    *,
    runs_again: bool = True,
    file: str = "out.x",
    reason: str = "",
    act: Callable[[Path], object] | None = None,
) -> Edit:
    """Return the row of a function that writes a file, which gets another content."""
    reason = reason or (f"the file {file}, which it wrote, is gone or has changed" if runs_again else "")
    files = {"steps.py": f"{IMPORTS}{steps}\n"}
    edit = act or (lambda folder: (folder / file).write_text("b\n2\n"))
    return Edit(name=name, files=files, act=edit, runs_again=runs_again, reason=reason)


def call(code: str, **more: str) -> Edit:
    """Return the row of a function that runs some code before it returns a table."""
    return written(f"writes with {code}", f"HERE = os.path.dirname(__file__) + '/'\ndef f(): {code}; return T", **more)


UNKNOWN = "nfrun cannot know which files %s writes (steps.py:%d)"
ROWS = [
    call("pl.from_arrow(T).write_csv(HERE + 'out.x')"),
    call("pl.from_arrow(T).lazy().sink_parquet(HERE + 'out.x')"),
    call("pq.write_table(T, HERE + 'out.x')"),
    call("pa.csv.write_csv(T, HERE + 'out.x')"),
    call("pa.feather.write_feather(T, dest=HERE + 'out.x')"),
    call("pa.dataset.write_dataset(T, HERE + 'd', format='csv')", file="d/part-0.csv"),
    call("pa.OSFile(HERE + 'out.x', 'wb').write(b'a')"),
    call("pa.output_stream(HERE + 'out.x').close()"),
    call("duckdb.connect().sql(f\"copy (select 1 a) to '{HERE}out.x'\")"),
    call("duckdb.connect().sql('select 1 a').write_csv(HERE + 'out.x')"),
    call("[pl.from_arrow(T).write_csv(f'{HERE}out.{c}') for c in 'x']"),
    written(
        "a file that a helper writes",
        "def g(t, to): t.write_csv(to)\ndef f():\n  g(pl.from_arrow(T), Path(__file__).parent / 'out.x')\n  return T",
    ),
    written(
        "a file that was there before and gets the same content",
        "def f():\n  p = Path(__file__).with_name('out.x')\n  p.write_text('a\\n1\\n2\\n')\n"
        "  pl.from_arrow(T).write_csv(p)\n  return T",
    ),
    written(
        "a file in a place that is not known",
        "def f():\n  pl.from_arrow(T).write_csv(os.environ.get('NO_CSV', os.devnull))\n  return T",
        reason=UNKNOWN % (".write_csv", 8),
    ),
    written(
        "writes to memory, to the terminal, to its own folder and to a temporary one",
        "def g(t, to): t.write_csv(to)\n"
        "def f(context):\n"
        "  t = pl.from_arrow(T)\n"
        "  g(t, io.BytesIO())\n"
        "  t.write_csv(sys.stdout)\n"
        "  t.write_csv(context.scratch / 'a.csv')\n"
        "  text = t.write_csv()\n"
        "  with tempfile.TemporaryDirectory() as folder: t.write_parquet(f'{folder}/a')\n"
        "  with open(Path(__file__).with_name('other'), 'wb') as file: t.write_csv(file)\n"
        "  return T",
        runs_again=False,
    ),
    written(
        "a link to a folder",
        "def f():\n  here = Path(__file__).parent\n  (here / 'out.x').unlink(missing_ok=True)\n"
        "  os.symlink('d1', here / 'out.x')\n  return T",
        act=lambda folder: ((folder / "out.x").unlink(), (folder / "out.x").symlink_to("d2")),
    ),
    written(
        "a method of the project that has such a name",
        "class Table:\n"
        "  def write_csv(self, to): return to\n"
        "  def save(self, to): return self.write_csv(to)\n"
        "def f(): return {'a': Table().save(1)}",
        runs_again=False,
    ),
]
