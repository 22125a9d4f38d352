"""Tests of the code that a run puts into the store for the workers of a cluster."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import pytest

from nfrun.cluster.wire import HostConfig
from nfrun.core.pipeline import Pipeline
from nfrun.history.work_dir import WorkDir
from nfrun.session.cluster_run import _code, _config, _with_code
from nfrun.tables.places.folder import Folder


def packed(base: Path, work: str, store: str) -> set[str]:
    """Run, as far as the code is concerned: returns the names of the files that travel."""
    pipeline, folder = Pipeline("p.yaml", str(base), "p", "", {}, {}, {}, {}), WorkDir(base / work)
    with folder.start_run(pipeline) as started:
        folder.make_run_folder(started.run)
        place = Folder(Path(folder.store_address(str(base / store))))
        code = _code(pipeline, folder.path, place)
        config = _with_code(HostConfig("r", "r", pipeline, place.uri), code, pipeline, place)
        (place.path / "data").mkdir(exist_ok=True)
        (place.path / "data/large.arrow").write_text("x")
        with ZipFile(place.get(config.code)) as archive:
            return {*archive.namelist()}


@pytest.mark.parametrize("store", [".", "kept", "../store"])
def test_neither_work_folders_nor_outputs_travel(tmp_path: Path, store: str) -> None:
    base = tmp_path / "p"
    (base / "runs").mkdir(parents=True)  # of the user
    for name in ("steps.py", "lock", "runs/a.csv"):
        (base / name).touch()
    for work in ("first", "second", "second"):
        assert packed(base, work, store) == {"steps.py", "lock", "runs/a.csv"}


@pytest.mark.parametrize(("environ", "zone"), [({}, "Asia/Tokyo"), ({"TZ": "Europe/Berlin"}, "Europe/Berlin")])
def test_workers_have_the_local_time_zone_of_this_machine_or_that_of_the_file(
    environ: dict[str, str], zone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    kept, where = SimpleNamespace(fsync=False), SimpleNamespace(grace=5.0)
    started = SimpleNamespace(run="r", at=0.0)
    pipeline = Pipeline("p.yaml", str(tmp_path), "p", "", {}, environ, {}, {})
    setup: Any = SimpleNamespace(
        pipeline=pipeline, kept=kept, where=where, started=started, thread_variables={}, folder=Path()
    )
    placement: Any = SimpleNamespace(arrow_threads=0)
    assert _config(setup, placement, Folder(tmp_path), ()).environ["TZ"] == zone
