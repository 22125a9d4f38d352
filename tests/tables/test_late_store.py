"""The store of a run that reuses everything is made when a table is needed, and is then as any other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import cast

import pyarrow as pa
import pytest

from nfrun.core.events import OutputRef
from nfrun.core.pipeline import OutputId
from nfrun.tables.handoffs import LateStore
from nfrun.tables.store import TableStore

OUTPUT = OutputId("n")
REF = OutputRef(OUTPUT, 1, 8, "", None, None, 1)


def late(make: object) -> TableStore:
    return cast("TableStore", LateStore(make, fsync=False))  # type: ignore[arg-type]


def test_a_run_without_tables_makes_no_store() -> None:
    store = late(None)
    store.commit(REF)
    store.release(REF)
    store.discard(REF)
    assert store.flushed(0)
    assert not store.fsync
    store.close(wait=False)


def test_a_table_that_is_handed_on_makes_the_store(tmp_path: Path) -> None:
    made: list[TableStore] = []

    def make() -> TableStore:
        made.append(TableStore(tmp_path / "run", persistent=True))
        return made[-1]

    (tmp_path / "run").mkdir()
    store = late(make)
    table = pa.table({"x": [1]})
    ref = store.publish(OUTPUT, 1, table)
    store.commit(ref)
    assert store.flushed()
    assert store.open(ref).equals(table)
    assert store.file(ref).exists()
    store.release(ref)
    assert not store.holds(ref)
    store.close()
    assert len(made) == 1
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["n.1.arrow"]


@pytest.mark.parametrize("changed", [False, True])
def test_only_a_run_that_needs_tables_imports_arrow(tmp_path: Path, changed: bool) -> None:
    (tmp_path / "steps.py").write_text("def a(): return {'x': 1}\ndef b(a): return a\n")
    (tmp_path / "p.yaml").write_text("nodes:\n  a: {python: 'steps:a'}\n  b: {python: 'steps:b', inputs: a}\n")
    run = ["run", str(tmp_path / "p.yaml"), "--quiet"]
    main = "import sys; from nfrun.cli.fast_args import parse_plain; c = parse_plain(sys.argv[1:])(); "
    command = [sys.executable, "-c", f"{main} print(c, 'pyarrow' in sys.modules, 'numpy' in sys.modules)", *run]
    subprocess.run(command, check=True)
    if changed:
        (tmp_path / "steps.py").write_text("def a(): return {'x': 1}\ndef b(a): return a.slice(0)\n")
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed.split()[:2] == ["0", str(changed)]
