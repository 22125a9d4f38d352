"""Tests of the archive with the files of a project."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from nfrun.cluster import code_archive
from nfrun.cluster.code_archive import find_code, unpack
from nfrun.core.errors import ClusterError


def project(folder: Path, **files: str) -> Path:
    for name, text in {"steps.py": "def f(): ...", "sql/a.sql": "select 1", **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_what_is_packed_comes_out_again_with_modes_links_and_empty_folders(tmp_path: Path) -> None:
    base = project(tmp_path / "p", **{"push.sh": "#!/bin/sh"})
    (base / "push.sh").chmod(0o755)
    (base / "link.sql").symlink_to("sql/a.sql")
    (base / "out").mkdir()
    (base / "sql/a.sql").chmod(0o400)
    code = find_code([base])
    name = code.pack(tmp_path / "code.zip")
    unpack(tmp_path / "code.zip", tmp_path / "there")
    there = tmp_path / "there"
    found = sorted(str(path.relative_to(there)) for path in there.rglob("*"))
    assert found == ["link.sql", "out", "push.sh", "sql", "sql/a.sql", "steps.py"]
    assert os.access(there / "push.sh", os.X_OK)
    assert not os.access(there / "steps.py", os.X_OK)
    assert (there / "link.sql").read_text() == "select 1"
    assert code.root == base
    assert re.fullmatch("code/[0-9a-f]{32}[.]zip", name)


def test_hidden_files_environments_compiled_code_and_work_folders_stay(tmp_path: Path) -> None:
    base = project(
        tmp_path / "p",
        **{
            ".git/config": "",
            ".env": "",
            "__pycache__/s.pyc": "",
            "work/runs/x": "",
            "venv/pyvenv.cfg": "",
            "venv/a.py": "",
        },
    )
    assert [*find_code([base], [base / "work"]).files] == ["sql/a.sql", "steps.py"]


def test_folders_inside_can_be_left_out_and_those_that_are_asked_for_stay(tmp_path: Path) -> None:
    base = project(tmp_path / "ours", **{"sql/ours/a.csv": "", "ours/b.csv": ""})
    assert [*find_code([base], is_left_out=lambda folder: folder.name == "ours").files] == ["sql/a.sql", "steps.py"]


def test_a_work_folder_with_the_pipeline_in_it_is_refused(tmp_path: Path) -> None:
    base = project(tmp_path / "p")
    with pytest.raises(ClusterError) as error:
        find_code([base], [base])
    what = f"files of the pipeline are in {base}, which is the work folder, too"
    assert str(error.value) == f"{what}: a cluster needs another work folder (--work)"


def test_files_of_several_folders_keep_their_place_to_each_other(tmp_path: Path) -> None:
    base, other = project(tmp_path / "a/p"), project(tmp_path / "b")
    code = find_code([base, other, base / "sql"])
    assert code.root == tmp_path
    assert [*code.files] == ["a/p/sql/a.sql", "a/p/steps.py", "b/sql/a.sql", "b/steps.py"]


def test_a_link_to_a_folder_around_it_ends(tmp_path: Path) -> None:
    base = project(tmp_path / "p")
    (base / "loop").symlink_to(base)
    assert {*find_code([base]).files} == {"sql/a.sql", "steps.py"}


def test_the_name_follows_from_names_contents_and_modes_alone(tmp_path: Path) -> None:
    first, second, archive = project(tmp_path / "a/p"), project(tmp_path / "b/p"), tmp_path / "code.zip"
    os.utime(second / "steps.py", (1, 1))
    name = find_code([first]).pack(archive)
    assert name == find_code([second]).pack(archive)
    (second / "steps.py").chmod(0o755)
    third = find_code([second]).pack(archive)
    (second / "steps.py").write_text("def f(): pass")
    assert len({name, third, find_code([second]).pack(archive)}) == 3


def test_too_many_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = project(tmp_path / "p", **{"data/big.csv": "x" * 3_000_000, "data/small.csv": "x" * 1_000_000})
    monkeypatch.setattr(code_archive, "MOST_BYTES", 2_000_000)
    with pytest.raises(ClusterError) as error:
        find_code([base])
    assert str(error.value) == (
        "the folder of the pipeline has 4 MB of files, and at most 2 MB travel to a cluster\n"
        "   the largest: data/big.csv (3 MB), data/small.csv (1 MB), steps.py (0 MB)\n"
        "   keep data elsewhere, and name it by a path or URI that workers see"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads all files")
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    base = project(tmp_path / "p")
    (base / "steps.py").chmod(0)
    with pytest.raises(ClusterError, match=r"cannot read .*steps.py, which the cluster needs: Permission denied"):
        find_code([base]).pack(tmp_path / "code.zip")


def test_a_folder_with_two_names_is_packed_under_both(tmp_path: Path) -> None:
    base = project(tmp_path / "p", **{"lib/x.py": ""})
    (base / "current").symlink_to("lib")
    assert {"lib/x.py", "current/x.py"} <= find_code([base]).files.keys()


def test_what_cannot_be_read_any_more_is_named(tmp_path: Path) -> None:
    base = project(tmp_path / "p")
    code = find_code([base])
    (base / "steps.py").unlink()
    (base / "steps.py").mkdir()
    with pytest.raises(ClusterError, match=r"^cannot read /.*/p/steps.py, which the cluster needs: Is a directory$"):
        code.pack(tmp_path / "code.zip")


@pytest.mark.skipif(sys.platform != "linux", reason="names are UTF-8 elsewhere")
def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    base = project(tmp_path / "p")
    (base / os.fsdecode(b"sql/\xff.sql")).touch()
    with pytest.raises(ClusterError) as error:
        find_code([base]).pack(tmp_path / "code.zip")
    told = f"cannot read {base}/sql/\\udcff.sql, which the cluster needs: its name is not UTF-8"
    assert str(error.value) == told
