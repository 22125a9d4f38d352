"""Whole runs whose nodes hand on files and folders: processes, reuse, damage, removal, sub-pipelines, looking back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Here

PIPELINE = """\
name: p
nodes:
  make: {python: "steps:make", with: {text: one}, outputs: {model: .bin, site: folder}}
  twice: {python: "steps:twice", inputs: {model: make.model}, outputs: {twice: file}}
  count: {python: "steps:count", inputs: {site: make.site}}
  listed:
    run: 'cat "$NFRUN_INPUT_twice" "$NFRUN_INPUT_site/a/x" > "$NFRUN_OUTPUT"'
    inputs: {twice: twice, site: make.site}
    outputs: {listed: .txt}
outputs: {count: count, listed: listed}
"""
STEPS = """\
def make(text, context):
    site = context.output("new/site")
    (site / "a").mkdir(parents=True)
    (site / "a" / "x").write_text("x")
    return {"model": text.encode(), "site": site}
def twice(model, context):
    path = context.output("t")
    path.write_bytes(2 * model.read_bytes())
    return path
def count(site): return {"files": len([p for p in site.rglob("*") if p.is_file()])}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "p.yaml").write_text(PIPELINE)
    (tmp_path / "steps.py").write_text(STEPS)
    return tmp_path


def run(here: Here, folder: Path, *words: str, code: int = 0) -> dict[str, Any]:
    done = here(folder, "run", "p.yaml", "--json", *words)
    assert done.returncode == code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def ran(document: dict[str, Any]) -> set[str]:
    return {name for name, node in document["nodes"].items() if node["status"] == "ok"}


def path_of(here: Here, folder: Path, output: str) -> Path:
    done = here(folder, "open", output)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


ALL = {"make", "twice", "count", "listed"}


@pytest.mark.parametrize(
    "words", [("--executor", "thread"), ("--executor", "process"), ("--handoff", "mmap"), ("--schedule", "sequential")]
)
def test_the_results_are_the_same_everywhere(here: Here, folder: Path, words: tuple[str, ...]) -> None:
    document = run(here, folder, *words)
    assert ran(document) == ALL
    assert Path(document["outputs"]["listed"]["path"]).read_text() == "oneonex"
    assert ran(run(here, folder)) == set()


@pytest.mark.parametrize("handoff", ["memory", "json"])
def test_no_file_is_left_where_nothing_is_kept(here: Here, folder: Path, handoff: str) -> None:
    document = run(here, folder, "--handoff", handoff)
    assert ran(document) == ALL
    left = [path.name for path in (folder / ".nfrun" / "runs").rglob("*") if path.is_file() and "listed" in path.name]
    assert [name for name in left if not name.endswith((".txt", ".stdout"))] == []
    assert not list((folder / ".nfrun" / "runs").glob("*/make.*"))


def test_a_changed_file_runs_its_readers_and_an_equal_one_does_not(here: Here, folder: Path) -> None:
    run(here, folder)
    (folder / "p.yaml").write_text(PIPELINE.replace("text: one", "text: two"))
    assert ran(run(here, folder)) == {"make", "twice", "listed"}, "the folder is the same"
    (folder / "steps.py").write_text(STEPS.replace("text.encode()", "bytes(text, 'ascii')"))
    assert ran(run(here, folder)) == {"make"}


def test_another_type_is_another_output(here: Here, folder: Path) -> None:
    run(here, folder)
    (folder / "p.yaml").write_text(PIPELINE.replace(".bin", ".pkl"))
    assert ran(run(here, folder)) == {"make", "twice"}, "its reader sees another ending, and gives the same"


def test_a_damaged_file_is_made_again(here: Here, folder: Path) -> None:
    run(here, folder)
    model = path_of(here, folder, "make.model")
    assert model.name == "make.model.1.bin"
    model.chmod(0o644)
    model.write_bytes(b"two")
    done = here(folder, "run", "p.yaml", "--force", "twice")
    assert done.returncode == 0
    assert f"{model} is damaged and is not used; it is kept as make.model.1.bin.bad" in done.stderr


def test_a_damaged_folder_is_made_again(here: Here, folder: Path) -> None:
    run(here, folder)
    site = path_of(here, folder, "make.site")
    (site / "a").chmod(0o755)
    (site / "a" / "more").touch()
    assert ran(run(here, folder, "--force", "count")) == {"make", "count"}
    assert site.with_name("make.site.1.bad").is_dir()


def test_a_removed_file_is_made_again_if_somebody_reads_it(here: Here, folder: Path) -> None:
    run(here, folder, "--cache-size", "0")
    runs = folder / ".nfrun" / "runs"
    assert sorted(path.name for path in runs.glob("*/*.1*")) == ["count.1.arrow", "listed.listed.1.txt"]
    assert ran(run(here, folder)) == set()
    assert ran(run(here, folder, "--force", "count")) == {"make", "count"}


def test_clean_removes_all(here: Here, folder: Path) -> None:
    run(here, folder)
    assert here(folder, "clean", "p.yaml", "--all").returncode == 0
    assert not list((folder / ".nfrun" / "runs").iterdir())


def test_files_of_a_killed_run_are_removed_by_clean(here: Here, folder: Path) -> None:
    run(here, folder)
    (home,) = (folder / ".nfrun" / "runs").iterdir()
    left = home / "other.site.1"
    (left / "a").mkdir(parents=True)
    (left / "a" / "x").write_text("x")
    (left / "a").chmod(0o555)
    (home / "other.model.1.bin").write_text("x")
    assert here(folder, "clean", "p.yaml").returncode == 0
    assert not [path for path in home.iterdir() if path.name.startswith("other")]
    assert ran(run(here, folder)) == set()


def test_show_diff_and_open_know_files(here: Here, folder: Path) -> None:
    run(here, folder)
    shown = here(folder, "show", "make").stdout
    assert "make.model: file, 3 B" in shown
    assert "make.site: folder, 1 B" in shown
    assert str(path_of(here, folder, "make.site")) in shown
    document = json.loads(here(folder, "show", "make", "--json").stdout)["outputs"]["make.model"]
    assert (document["type"], document["bytes"], Path(document["path"]).read_text()) == (".bin", 3, "one")
    (folder / "p.yaml").write_text(PIPELINE.replace("text: one", "text: three"))
    run(here, folder)
    assert "make.model: other content of the file\n" in here(folder, "diff", "--data").stdout
    refused = here(folder, "open", "make.model", "--format", "csv")
    assert refused.returncode == 2
    assert "'make.model' is no table and stays as it is: -o copies it" in refused.stderr


def test_open_copies_files_and_folders(here: Here, folder: Path) -> None:
    run(here, folder)
    (folder / "old.bin").write_text("old")
    for name, target in (("make.model", "old.bin"), ("make.model", "m.bin"), ("make.site", "copy")):
        done = here(folder, "open", name, "-o", target)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
    for name in ("old.bin", "m.bin"):
        assert (folder / name).read_text() == "one"
        assert (folder / name).stat().st_mode & 0o200
    kept = path_of(here, folder, "make.site")
    assert sorted(p.name for p in (folder / "copy").iterdir()) == sorted(p.name for p in kept.iterdir())
    assert all(p.stat().st_mode & 0o200 for p in (folder / "copy", *(folder / "copy").iterdir()))


@pytest.mark.parametrize(
    ("output", "target", "message"),
    [
        ("make.model", "d", "'d' is a folder: name a file in it"),
        ("make.site", "d", "'d' is a folder: name a file in it"),
        ("make.site", "p.yaml", "p.yaml is a file, and the output is a folder: name a new one"),
    ],
)
def test_open_replaces_no_folder(here: Here, folder: Path, output: str, target: str, message: str) -> None:
    run(here, folder)
    (folder / "d").mkdir()
    refused = here(folder, "open", output, "-o", target)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert [*(folder / "d").iterdir()] == []


def test_the_end_of_a_run_shows_the_path_and_the_size(here: Here, folder: Path) -> None:
    done = here(folder, "run", "p.yaml")
    path = path_of(here, folder, "listed")
    assert f"listed: file, 7 B {path}" in done.stdout
    assert "twice finished in" in done.stderr
    assert ", 6 B" in done.stderr


INNER = """\
inputs: {ref: {outputs: {ref: folder}}, model: {read: m.bin, outputs: {model: .bin}}}
nodes:
  all:
    run: 'cat "$NFRUN_INPUT_ref/a/x" "$NFRUN_INPUT_model" > "$NFRUN_OUTPUT"'
    inputs: [ref, model]
    outputs: {all: .txt}
outputs: {all: all}
"""


@pytest.mark.parametrize("words", [(), ("--executor", "process"), ("--handoff", "memory")])
def test_a_sub_pipeline_is_given_files_and_gives_some(here: Here, folder: Path, words: tuple[str, ...]) -> None:
    (folder / "inner.yaml").write_text(INNER)
    (folder / "p.yaml").write_text(
        PIPELINE.replace(
            "outputs: {count: count, listed: listed}",
            "  sub: {pipeline: inner.yaml, inputs: {ref: make.site, model: make.model}}\n"
            "  copy: {write: out/all.txt, inputs: sub}\n"
            "outputs: {all: sub}",
        )
    )
    run(here, folder, *words)
    assert (folder / "out" / "all.txt").read_text() == "xone"
    if not words:
        assert ran(run(here, folder)) == set()
        (folder / "inner.yaml").write_text(INNER.replace("cat ", "cat -- "))
        assert ran(run(here, folder)) >= {"sub/all"}
        (folder / "m.bin").write_text("own")
        site = f"ref={path_of(here, folder, 'make.site')}"
        alone = here(folder, "run", "inner.yaml", "--input", site, "--json")
        assert Path(json.loads(alone.stdout)["outputs"]["all"]["path"]).read_text() == "xown"


def test_a_source_that_changes_while_it_is_read_is_not_reused(here: Here, tmp_path: Path) -> None:
    (tmp_path / "m.bin").write_text("old")
    (tmp_path / "p.yaml").write_text(
        "nodes:\n  m: {read: m.bin, outputs: {m: .bin}}\n"
        '  n: {run: \'cat "$NFRUN_INPUT_m" > "$NFRUN_OUTPUT"; echo new > m.bin\', inputs: {m: m}, outputs: {n: file}}\n'
    )
    assert Path(run(here, tmp_path)["outputs"]["n.n"]["path"]).read_text() == "old"
    assert ran(run(here, tmp_path)) == {"m", "n"}


def test_an_attempt_that_fails_leaves_no_file(here: Here, folder: Path) -> None:
    (folder / "steps.py").write_text(STEPS.replace('"site": site}', '"site": site / "none"}'))
    done = here(folder, "run", "p.yaml")
    assert done.returncode == 1
    what = "which the function returned as 'site'"
    assert what in done.stderr
    assert not list((folder / ".nfrun" / "runs").glob("*/make.*"))


def test_links_that_lead_out_fail_the_node(here: Here, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "nodes:\n  a: {run: 'ln -s /etc/passwd \"$NFRUN_OUTPUT/p\"', outputs: {site: folder}}\n"
        "  b: {run: 'ln -s p.yaml \"$NFRUN_OUTPUT\"', outputs: {f: file}}\n"
        "  c: {run: 'mkdir \"$NFRUN_OUTPUT\"', outputs: {f: file}}\n"
        "  d: {run: 'true', outputs: {f: file}}\n"
        "  e: {run: 'true', inputs: d}\n"
    )
    done = here(tmp_path, "run", "p.yaml", "--keep-going")
    for text in (
        "the folder 'a.site' cannot be handed on: 'output_site/p' is a link that leads out of the folder, to /etc",
        "the script made $NFRUN_OUTPUT_f a link, and a file is kept as it is",
        "$NFRUN_OUTPUT_f is a folder, and its output is a file",
        "it has not made 'd.f', but other nodes read it",
    ):
        assert text in done.stderr


def test_readers_of_a_file_that_read_hands_on_run_again_when_its_name_changes(here: Here, tmp_path: Path) -> None:
    (tmp_path / "inner.yaml").write_text(
        'inputs: {sample: {outputs: {f: .txt}}}\nnodes: {name: {python: "steps:name", inputs: {f: sample}}}\n'
        "outputs: {name: name}\n"
    )
    (tmp_path / "p.yaml").write_text(
        'params: {file: a.txt}\nnodes:\n  f: {read: "${{ params.file }}", outputs: {f: .txt}}\n'
        '  name: {python: "steps:name", inputs: {f: f}}\n'
        '  made: {run: "cp $NFRUN_INPUT_f $NFRUN_OUTPUT", inputs: {f: f}, outputs: {f: .txt}}\n'
        "  inner: {pipeline: inner.yaml, inputs: {sample: f}}\n"
        "  inner_made: {pipeline: inner.yaml, inputs: {sample: made}}\n"
    )
    (tmp_path / "steps.py").write_text("def name(f): return [{'name': f.name}]\n")
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("the same\n")
    assert {"name", "inner/name", "inner_made/name"} < ran(run(here, tmp_path))
    assert ran(run(here, tmp_path)) == set()
    again = ran(run(here, tmp_path, "-p", "file=b.txt"))
    assert {"name", "inner/name"} < again
    assert "inner_made/name" not in again
