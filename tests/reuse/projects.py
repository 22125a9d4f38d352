"""Reads the small projects of `projects/`, which say of each data file which nodes read it.

A project is a text file. Its first line says what it is. A line `-- PATH` begins a file, and `-- PATH < NODES` a data
file that these nodes read. With `!` after its path a file may be executed. `p.yaml` is the pipeline. `config` is made
here: 30 nodes with 300 files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).with_name("projects")
CODE = (".py", ".yaml")  # of these only those that nodes read as data


@dataclass(frozen=True)
class Project:
    """`files` are the texts by path, and `readers` the nodes by data file, none for a file that nobody reads."""

    files: Mapping[str, str]
    programs: frozenset[str]
    readers: Mapping[str, frozenset[str]]

    def write(self, folder: Path) -> None:
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            if name in self.programs:
                path.chmod(0o755)


def projects() -> dict[str, Project]:
    """Return all projects by name."""
    return {"config": parsed(_config()), **{path.stem: parsed(path.read_text()) for path in sorted(FOLDER.iterdir())}}


def parsed(text: str) -> Project:
    files, programs, readers = {}, set(), {}
    for part in f"\n{text}".split("\n-- ")[1:]:
        head, _, content = part.partition("\n")
        path, _, nodes = head.partition(" < ")
        name = path.removesuffix("!")
        files[name] = content.rstrip("\n") + "\n"
        if path != name:
            programs.add(name)
        if nodes or not name.endswith(CODE):
            readers[name] = frozenset(nodes.split())
    return Project(files, frozenset(programs), readers)


def touched(content: bytes, name: str) -> bytes:
    """Return other content of the same meaning, as far as a file of this type allows it."""
    if name.endswith(".sql"):
        return content + b"-- touched\n"
    if name.endswith((".sh", ".yaml")) or content.startswith(b"#!"):
        return content + b"# touched\n"
    return content + b"\n"


_NUMBERS = range(10)
_READS = (  # how a node reads the files of its folder `{0}`, of which all begin with `x`
    'pl.concat(pl.read_csv(RAW / "{0}" / name) for name in ({names}))',
    'pl.scan_csv(RAW / "{0}" / "x*.csv").collect()',
    'tables("{0}", 10)',
    'pl.concat([pl.read_csv(os.path.join(DATA, "raw", "{0}", f"x{{i}}.csv")) for i in range(10)])',
    '{{"text": "".join(text("{0}", i) for i in range(10))}}',
    "duckdb.sql(f\"from '{{RAW}}/{0}/*.csv'\").to_arrow_table()",
)


def _config() -> str:
    """Return the project whose module `config` names the folder of all data once."""
    folders = [f"{kind}_{i}" for i in range(5) for kind in ("list", "glob", "tables", "join", "text", "sql")]
    names = ", ".join(f'"x{i}.csv"' for i in _NUMBERS)

    def lines() -> Iterator[str]:
        yield "A module names the data folder once, and 30 nodes read 300 files below it.\n-- p.yaml\nnodes:"
        yield from (f'  {node}: {{python: "steps_{node[-1]}:{node}"}}' for node in folders)
        yield '-- config.py\nfrom pathlib import Path\n\nDATA = Path(__file__).parent / "data"\nRAW = DATA / "raw"'
        yield "-- reading.py\nimport polars as pl\nfrom config import RAW\n\n\ndef path(folder, i):"
        yield '    return RAW / folder / f"x{i}.csv"\n\n\ndef tables(folder, count):'
        yield "    return pl.concat(pl.read_csv(path(folder, i)) for i in range(count))\n\n"
        yield "\ndef text(folder, i):\n    return path(folder, i).read_text()"
        for i in range(5):
            yield f"-- steps_{i}.py\nimport os\n\nimport duckdb\nimport polars as pl\nfrom config import DATA, RAW"
            yield "from reading import tables, text"
            for kind, read in zip(folders[:6], _READS, strict=True):
                node = f"{kind[:-1]}{i}"
                yield f"\n\ndef {node}():\n    return {read.format(node, names=names)}"
        for node in folders:
            yield from (f"-- data/raw/{node}/x{i}.csv < {node}\nid\n{i}" for i in _NUMBERS)
        yield "-- data/raw/list_0/y.csv\nid\n1"

    return "\n".join(lines())
