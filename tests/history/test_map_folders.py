"""Results of calls in the work folder: what they take, which may go, and what `clean` removes of them."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from nfrun.core.pipeline import Pipeline
from nfrun.history.database import Database
from nfrun.history.kept_tables import FolderUse, folder_uses, kept_streams, mark_used, stream_bytes
from nfrun.history.prune import PrunePlan, plan_prune
from nfrun.history.work_dir import WorkDir
from nfrun.rows.returned import Computed
from nfrun.rows.streams import Result, StreamFile, encoded


def add(work: Path, definition: str, run: int, *, seconds: float = 1.0, rows: int = 10) -> Path:
    folder = work / "map" / definition
    stream = StreamFile(folder, f"{run:010}-{definition}")
    keys = b"".join(i.to_bytes(16, "little") for i in range(rows))
    stream.append(encoded([Result(keys, Computed(pa.table({"n": list(range(rows))})), seconds)]))
    stream.close()
    return sorted(folder.glob(f"{run:010}*.arrows"))[0]


def use(work: Path, definition: str, number: int, pipeline: str = "p.yaml", **more: bool) -> None:
    mark_used(work / "map" / definition, FolderUse(pipeline, number, **more))


def test_segments_count_with_what_their_calls_took_and_the_last_run_that_used_them(tmp_path: Path) -> None:
    assert (stream_bytes(tmp_path), kept_streams(tmp_path, {})) == (0, [])
    first, second, other = add(tmp_path, "a", 1), add(tmp_path, "a", 3, seconds=2.5), add(tmp_path, "b", 2)
    use(tmp_path, "a", 3)
    use(tmp_path, "a", 7, "q.yaml")
    found = {table.path: (table.seconds, table.last_used, table.is_protected) for table in kept_streams(tmp_path, {})}
    assert found == {first: (1.0, 7, False), second: (2.5, 7, False), other: (1.0, 0, False)}
    assert stream_bytes(tmp_path) == sum(path.stat().st_size for path in found)
    assert [table.path for table in kept_streams(tmp_path, {}, ["q.yaml"]) if table.is_protected] == [first, second]


def test_segments_that_a_node_with_cache_uses_are_protected(tmp_path: Path) -> None:
    add(tmp_path, "a", 1)
    use(tmp_path, "a", 1)
    use(tmp_path, "a", 1, cached=True)
    use(tmp_path, "a", 1)  # another node of the same run
    assert [table.is_protected for table in kept_streams(tmp_path, {})] == [True]
    use(tmp_path, "a", 2)
    assert [table.is_protected for table in kept_streams(tmp_path, {})] == [False]
    assert folder_uses(tmp_path / "map" / "a") == [FolderUse("p.yaml", 2, False)]


def test_segments_of_a_node_that_failed_in_the_last_run_are_protected(tmp_path: Path) -> None:
    add(tmp_path, "a", 1)
    use(tmp_path, "a", 1, unfinished=True)
    assert [table.is_protected for table in kept_streams(tmp_path, {"p.yaml": 1})] == [True]
    assert [table.is_protected for table in kept_streams(tmp_path, {"p.yaml": 2})] == [False]
    use(tmp_path, "a", 1)
    assert [table.is_protected for table in kept_streams(tmp_path, {"p.yaml": 1})] == [False]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"file": 1, "number": 1, "cached": true}'])
def test_a_damaged_use_is_ignored(text: str, tmp_path: Path) -> None:
    use(tmp_path, "a", 1)
    (path,) = (tmp_path / "map" / "a").glob("*.used")
    path.chmod(0o600)
    path.write_text(text)
    assert folder_uses(tmp_path / "map" / "a") == []
    use(tmp_path, "a", 2)
    assert [found.number for found in folder_uses(tmp_path / "map" / "a")] == [2]


@pytest.fixture
def work(tmp_path: Path) -> WorkDir:
    return WorkDir(tmp_path / ".nfrun")


def planned(work: WorkDir, **how: Any) -> PrunePlan:
    with closing(Database(work)) as database:
        return plan_prune(database, **how)


def running(work: WorkDir, name: str, stack: ExitStack) -> None:
    pipeline = Pipeline(name, str(work.path.parent), name, "", {}, {}, {}, {})
    stack.enter_context(work.start_run(pipeline))


def test_clean_removes_the_cheapest_segments_over_the_budget(work: WorkDir) -> None:
    cheap, dear, cached = (
        add(work.path, "a", 1, seconds=0.1),
        add(work.path, "b", 2, seconds=9.0),
        add(work.path, "c", 3, seconds=0.0),
    )
    use(work.path, "c", 3, cached=True)
    size = cheap.stat().st_size
    with work.lock():
        assert planned(work, budget=3 * size).files == ()
        (cached.parent / "x.partial").touch()
        assert planned(work, budget=2 * size).files == (cheap.parent, cached.parent / "x.partial")
        (cached.parent / "x.partial").unlink()
        plan = planned(work, budget=0)
        assert plan.files == (cheap.parent, dear.parent) and plan.size > 2 * size
        plan.remove(Database(work, print))
    assert cached.exists() and not dear.parent.exists() and not cheap.parent.exists()


def test_clean_all_removes_the_results_of_all_or_of_one_pipeline(work: WorkDir) -> None:
    of_p, of_both, of_q, of_none = (add(work.path, name, 1).parent for name in "abcd")
    for name, pipelines in (("a", ["p.yaml"]), ("b", ["p.yaml", "q.yaml"]), ("c", ["q.yaml"])):
        for pipeline in pipelines:
            use(work.path, name, 1, pipeline, cached=True)
    with work.lock():
        assert planned(work, everything=True, pipeline="p.yaml").files == (of_p,)
        assert planned(work, everything=True).files == (of_p, of_both, of_q, of_none)


def test_nothing_that_a_run_under_way_may_use_is_removed(work: WorkDir) -> None:
    folders = [add(work.path, name, 1).parent for name in "ab"]
    use(work.path, "a", 1, "p.yaml")
    use(work.path, "b", 1, "q.yaml")
    with ExitStack() as stack:
        running(work, "p.yaml", stack)
        assert planned(work, everything=True).files == (folders[1],)
        assert planned(work, budget=0).files == (folders[1],)
