"""Tests that no node replaces the folder of a pipeline, the work folder or the current directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.core.errors import SpecError
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.pipeline_file.resolve import resolve

PIPELINE = "what is written takes the place of a folder, and the pipeline file is in this one"
CURRENT = "what is written takes the place of a folder, and the current directory is in this one"
WORK = "what is written takes the place of a folder, and the work folder is in this one"
IN_WORK = "this folder is in the work folder, which nfrun alone writes to"

NODES = """\
nodes:
  a: {sql: select 1 as n}
  site: {run: 'mkdir -p $NFRUN_OUTPUT', outputs: {site: folder}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("shop", "here/inner", "other"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "shop/link").symlink_to("../here")
    (tmp_path / "shop/own").symlink_to("../shop")
    monkeypatch.chdir(tmp_path / "here/inner")
    return tmp_path


def write(folder: Path, path: str, *, work: str = "", input: str = "a") -> Path:
    file = folder / "shop/p.yaml"
    file.write_text(f"{work}{NODES}  w: {{write: {path.replace('HERE', str(folder))}, inputs: {input}}}\n")
    return file


def messages(error: pytest.ExceptionInfo[SpecError]) -> list[str]:
    return [diagnostic.message for diagnostic in error.value.diagnostics]


@pytest.mark.parametrize("input", ["a", "site"])
@pytest.mark.parametrize(
    ("path", "what"),
    [
        (".nfrun/", WORK),
        (".nfrun/runs/site/", IN_WORK),
        ("./out/../.nfrun/site/", IN_WORK),
        ("../here/", CURRENT),
        ("link/inner/", CURRENT),
        ("HERE/here/inner/", CURRENT),
        ("../shop/", PIPELINE),
        ("own/", PIPELINE),
        ("HERE/", PIPELINE),
        ("/", PIPELINE),
    ],
)
def test_a_folder_that_stays(folder: Path, path: str, what: str, input: str) -> None:
    with pytest.raises(SpecError) as error:
        read_pipeline(write(folder, path, input=input))
    assert messages(error) == [what]


@pytest.mark.parametrize("path", ["out/", "../here/inner/out/", "../here2/", ".nfrun2/", "../other/"])
def test_other_folders(folder: Path, path: str) -> None:
    found = resolve(write(folder, path), given={}, params_file=None, environ={}, run_id="r")
    assert path in [node.body for node in found.pipeline.nodes.values()]


@pytest.mark.parametrize("path", ["../other/", "../other/work/", "../other/work/site/"])
@pytest.mark.parametrize("given", ["--work", "profile"])
def test_the_work_folder_that_is_given(folder: Path, path: str, given: str) -> None:
    profile = "profiles: {p: {work: ../other/work}}\n" if given == "profile" else ""
    file, work = write(folder, path, work=profile), folder / "other/work" if given == "--work" else None
    name = "p" if given == "profile" else None
    with pytest.raises(SpecError) as error:
        resolve(file, given={}, params_file=None, environ={}, run_id="r", profile=name, work=work)
    assert messages(error) == [IN_WORK if "site" in path else WORK]


def test_the_folders_of_all_files_of_a_pipeline(folder: Path) -> None:
    write(folder, "../other/")
    main = folder / "other/main.yaml"
    main.write_text("nodes:\n  shop: {pipeline: ../shop/p.yaml}\n")
    with pytest.raises(SpecError) as error:
        resolve(main, given={}, params_file=None, environ={}, run_id="r")
    assert messages(error) == [PIPELINE]


def test_a_pipeline_file_that_is_a_link(folder: Path) -> None:
    write(folder, "../shop/")
    (folder / "other/linked.yaml").symlink_to(folder / "shop/p.yaml")
    with pytest.raises(SpecError) as error:
        read_pipeline(folder / "other/linked.yaml")
    assert messages(error) == [PIPELINE]


@pytest.mark.parametrize(
    ("path", "error"), [(".", True), ("./", True), ("own", True), ("..", True), ("data", False), ("link", False)]
)
def test_no_folder_is_handed_on_that_has_the_work_folder_in_it(folder: Path, path: str, error: bool) -> None:
    (folder / "shop/data").mkdir()
    file = folder / "shop/p.yaml"
    file.write_text(f"nodes:\n  a: {{read: {path}, outputs: {{all: folder}}}}\n")
    if not error:
        read_pipeline(file)
        return
    with pytest.raises(SpecError) as caught:
        read_pipeline(file)
    assert messages(caught) == ["the work folder is in this folder, which therefore changes during the run"]
    hints = [diagnostic.hint for diagnostic in caught.value.diagnostics]
    assert hints == ["hand on a folder of its own: read: data/"]
