"""`action.yml` runs as on GitHub's runner, with the actions that it uses pretended (`tests/action_runner.py`)."""

from __future__ import annotations

import json
import re
import shutil
import site
import subprocess
import sys
import textwrap
import venv
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from action_runner import ACTION, ROOT, Job, Repository

from tests.docs.pages import PAGES, blocks

pytestmark = pytest.mark.slow

PIPELINE = """
params: {count: 3}
nodes:
  rows: {python: steps:rows, with: {count: "${{ params.count }}"}}
  double: {python: steps:double, inputs: rows}
outputs: {double: double}
"""
STEPS = """
import pyarrow as pa

def rows(count):
    return pa.table({"n": range(count)})

def double(rows):
    return pa.table({"n": [2 * n for n in rows["n"].to_pylist()]})
"""
Start = Callable[..., Job]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """PATH with an environment without nfrun, but with what is needed to build and run it."""
    folder = tmp_path_factory.mktemp("env")
    venv.create(folder, with_pip=True)
    own = next(folder.glob("lib/python*/site-packages"))
    (own / "here.pth").write_text("\n".join([*site.getsitepackages(), ""]))
    return f"{folder / 'bin'}:/usr/bin:/bin"


@pytest.fixture(scope="module")
def ready(path: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """PATH after the step that installs nfrun, which other tests skip."""
    with pytest.MonkeyPatch.context() as patch:
        # Nothing is downloaded. pip reads the last one as the value of --build-isolation.
        for name, value in {"NO_INDEX": "1", "NO_DEPS": "1", "NO_BUILD_ISOLATION": "0"}.items():
            patch.setenv(f"PIP_{name}", value)
        folder = tmp_path_factory.mktemp("install")
        job = Job(Repository(), folder, path, {"pipeline": "none.yaml", "cache": "false"}).run()
    assert job.codes["Install nfrun"] == 0, job.log
    bin = Path(path.split(":")[0])
    assert (bin / "nfrun").is_file()
    where = subprocess.check_output([bin / "python", "-P", "-c", "import nfrun; print(nfrun.__file__)"], text=True)
    assert Path(where).is_relative_to(bin.parent)
    return path


@pytest.fixture
def start(tmp_path: Path, ready: str) -> Start:
    """Start a job in a fresh clone, always at the same path as on a runner, or in what there is with `clone=False`."""
    workspace = tmp_path / "work"

    def start(
        repository: Repository,
        *,
        pipeline: str = PIPELINE,
        steps: str = STEPS,
        clone: bool = True,
        file: str = "p.yaml",
        job: dict[str, object] | None = None,
        **inputs: str,
    ) -> Job:
        if clone:
            subprocess.run(["rm", "-rf", workspace], check=True)
            (workspace / file).parent.mkdir(parents=True)
            (workspace / file).write_text(textwrap.dedent(pipeline))
            (workspace / file).with_name("steps.py").write_text(textwrap.dedent(steps))
        given = {"pipeline": file, **{name.replace("_", "-"): value for name, value in inputs.items()}}
        return Job(repository, workspace, ready, given, skip=("Install nfrun",), **(job or {})).run()  # type: ignore[arg-type]

    return start


def test_the_next_run_goes_on_from_the_last_one_and_saves_what_is_new(start: Start) -> None:
    repository = Repository()
    first = start(repository)
    assert not first.failed, first.log
    assert first.used == [
        "actions/setup-python@v7",
        "actions/cache/restore@v5",
        "actions/cache/save@v5",
        "actions/upload-artifact@v7",
    ]
    assert first.outputs["status"] == "ok"
    assert first.outputs["run"] == "1"
    assert first.outputs["work"] == "./.nfrun"
    assert first.outputs["artifact-url"] == "https://example.org/1"
    assert "(https://example.org/1) are in the artifact nfrun-p-test" in first.summary
    [(name, files)] = repository.artifacts.items()
    assert name == "nfrun-p-test"
    assert sorted(files) == ["junit.xml", "report.html", "trace.json"]
    assert ET.fromstring(files["junit.xml"]).get("failures") == "0"
    assert json.loads(files["trace.json"])["traceEvents"]

    same = start(repository, job={"attempt": 2})
    assert "p: ok, 2 reused" in same.log
    assert same.outputs["run"] == "2"
    assert len(repository.cache) == 1, "nothing ran, so what is there is as good"
    assert list(repository.artifacts) == ["nfrun-p-test", "nfrun-p-test-2"]

    changed = STEPS.replace("2 * n", "3 * n")
    edited = start(repository, steps=changed, upload="false")
    assert "p: ok, 1 ran, 1 reused" in edited.log
    assert len(repository.cache) == 2
    assert "p: ok, 2 reused" in start(repository, steps=changed, upload="false").log


def test_a_failed_run_fails_the_job_with_its_code_and_keeps_all_it_has(start: Start) -> None:
    repository = Repository()
    broken = STEPS.replace('{"n": [2', 'oops or {"n": [2')
    failed = start(repository, steps=broken)
    assert failed.failed
    assert failed.codes["Run the pipeline"] == 1
    assert failed.outputs["status"] == "failed"
    assert "::error file=steps.py,line=8" in failed.log
    assert "oops" in failed.summary
    [files] = repository.artifacts.values()
    assert ET.fromstring(files["junit.xml"]).get("failures") == "1"
    assert b"NameError" in files["report.html"]
    mended = start(repository, upload="false")
    assert "p: ok, 1 ran, 1 reused" in mended.log


def test_a_report_that_the_job_names_takes_the_place_of_that_of_the_action(start: Start, tmp_path: Path) -> None:
    repository = Repository()
    job = start(repository, args=f"--report {tmp_path}/own.html --junit={tmp_path}/own.xml")
    assert not job.failed, job.log
    assert {"own.html", "own.xml"} <= {path.name for path in tmp_path.iterdir()}
    assert sorted(repository.artifacts["nfrun-p-test"]) == ["trace.json"]


def test_a_mistake_in_the_file_is_told_and_nothing_is_saved(start: Start) -> None:
    repository = Repository()
    wrong = start(repository, pipeline="nodes: {a: {python: steps:nothing}}")
    assert wrong.failed
    assert wrong.codes["Run the pipeline"] == 2
    assert wrong.outputs["status"] == wrong.outputs["run"] == ""
    assert "::error file=p.yaml,line=1,col=21" in wrong.log
    assert not repository.cache
    assert not repository.artifacts


def test_an_earlier_run_is_not_taken_for_that_of_a_mistake(start: Start) -> None:
    """Not even one of the same second: what is new has a higher number, and clocks are not asked."""
    repository = Repository()
    assert start(repository, upload="false").outputs["run"] == "1"
    wrong = start(repository, pipeline="nodes: {a: {python: steps:nothing}}", upload="false")
    assert wrong.outputs["status"] == ""
    assert len(repository.cache) == 1


def test_names_with_blanks_and_arguments_with_quotes(start: Start) -> None:
    repository = Repository()
    job = start(repository, file="größe $(touch x)/p 1;é.yaml", args="-p 'count=4'")
    assert not job.failed, job.log
    assert job.outputs["work"] == "größe $(touch x)/.nfrun"
    assert not (job.workspace / "x").exists()
    [key], [name] = repository.cache, repository.artifacts
    assert set(key + name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    assert "2 reused" in start(repository, file="größe $(touch x)/p 1;é.yaml", args="-p count=4", upload="false").log


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ("-p 'count=4", 2, "::error title=nfrun::the input args is no command line: No closing quotation\n"),
        ("--nothing", 2, "No such option: --nothing"),
        ("$(touch x) `touch x`; touch x", 2, "touch x"),
        ("-p count=2 # what is behind is a comment", 0, "p: ok, 2 ran"),
        ("-p count=2\n--quiet\n", 0, ""),
    ],
)
def test_arguments_are_words_and_are_not_executed(start: Start, args: str, code: int, message: str) -> None:
    job = start(Repository(), args=args)
    assert job.codes["Run the pipeline"] == code
    assert message in job.log
    assert not (job.workspace / "x").exists()


def test_jobs_of_a_matrix_and_others_have_names_of_their_own(start: Start) -> None:
    repository = Repository()
    for index in range(2):
        start(repository, args=f"-p count={index}", job={"index": index, "total": 2})
    start(repository, args="-p count=9", job={"name": "other"})
    assert list(repository.artifacts) == ["nfrun-p-test-0", "nfrun-p-test-1", "nfrun-p-other"]
    assert len(repository.cache) == 3
    assert "2 reused" in start(repository, args="-p count=1", upload="false").log, "the newest of the job"
    assert "2 reused" in start(repository, args="-p count=9", upload="false", job={"name": "other"}).log
    apart = start(repository, args="-p count=1", upload="false", cache_key="2.0")
    assert "2 ran" in apart.log


def test_two_pipelines_of_a_folder_in_one_job(start: Start) -> None:
    repository = Repository()
    for clone in (True, False):
        job = start(repository, clone=clone, file="p.yaml" if clone else "q.yaml")
        if clone:
            (job.workspace / "q.yaml").write_text(PIPELINE)
    assert "actions/cache/restore@v5" not in job.used, "what is there is newer than what is saved"
    assert list(repository.artifacts) == ["nfrun-p-test", "nfrun-q-test"]
    assert "2 reused" in start(repository, file="q.yaml", upload="false").log


def test_without_a_cache_and_an_artifact(start: Start) -> None:
    job = start(Repository(), cache="false", upload="false", python_version="")
    assert not job.failed
    assert job.used == []


def test_a_cache_that_does_not_answer_fails_nothing(start: Start) -> None:
    repository = Repository(cache_is_down=True)
    job = start(repository)
    assert not job.failed
    assert "2 ran" in job.log
    assert repository.artifacts


def test_two_artifacts_of_one_name_fail_the_job(start: Start) -> None:
    repository = Repository()
    assert not start(repository, artifact="mine").failed
    assert start(repository, artifact="mine").failed


def test_nodes_do_not_see_the_variables_of_the_step(start: Start) -> None:
    script = """
    nodes:
      names: {run: "env | cut -d= -f1 > $GITHUB_WORKSPACE/names"}
    """
    job = start(Repository(), pipeline=script)
    names = (job.workspace / "names").read_text().split()
    assert "GITHUB_RUN_ID" in names
    assert not {"PIPELINE", "ARGS", "WORK", "REPORTS"}.intersection(names)


def test_a_cancelled_job_interrupts_nfrun_which_writes_its_reports(start: Start) -> None:
    """The runner signals the process of the step, which therefore is nfrun."""
    script = """
    nodes:
      first: {python: steps:rows, with: {count: 1}}
      wait:
        needs: first
        run: until [ -s $RUNNER_TEMP/pid ]; do :; done; kill -INT $(cat $RUNNER_TEMP/pid); exec tail -f /dev/null
    """
    repository = Repository()
    job = start(repository, pipeline=script)
    assert job.codes["Run the pipeline"] == 130
    assert job.outputs["status"] == "cancelled"
    assert "report.html" in repository.artifacts["nfrun-p-test"]
    assert len(repository.cache) == 1


def test_the_size_of_the_cache_is_kept_to(start: Start) -> None:
    job = start(Repository(), cache_size="0")
    assert not job.failed
    assert [file.name for file in (job.workspace / ".nfrun").rglob("*.arrow")] == ["double.1.arrow"], "an output"


def workflows(folder: Path) -> list[Path]:
    """The workflows of the repository, of the templates and of all pages, the last ones written into `folder`."""
    files = [*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob("nfrun/templates/*/.github/workflows/*.yaml")]
    shown = [block for page in PAGES for block in blocks(page) if (block.title or "").startswith(".github/workflows/")]
    assert shown
    for block in shown:
        files.append(folder / f"page-{len(files)}.yml")
        files[-1].write_text(block.text)
    return files


def test_the_action_and_the_workflows_are_valid(tmp_path: Path) -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    subprocess.run([*check, "vendor.github-actions", ROOT / "action.yml"], check=True)
    subprocess.run([*check, "vendor.github-workflows", *workflows(tmp_path)], check=True)


def test_the_workflows_give_the_action_what_it_takes(tmp_path: Path) -> None:
    uses = [
        step
        for file in workflows(tmp_path)
        for job in yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].values()
        for step in job["steps"]
        if step.get("uses", "").startswith(("./", "OWNER/nfrun@"))
    ]
    assert len(uses) >= 2
    for step in uses:
        assert {"pipeline"} <= step["with"].keys() <= ACTION["inputs"].keys()


def test_an_action_is_used_in_one_version_everywhere(tmp_path: Path) -> None:
    texts = [file.read_text(encoding="utf-8") for file in (ROOT / "action.yml", *workflows(tmp_path))]
    used = {use for text in texts for use in re.findall(r"uses: (actions/[\w-]+)(?:/\w+)?@(v\d+)\b", text)}
    assert len(used) >= 4
    assert len(used) == len({name for name, _ in used})


@pytest.mark.skipif(not shutil.which("actionlint"), reason="actionlint is not installed")
def test_actionlint_finds_nothing(tmp_path: Path) -> None:
    subprocess.run(["actionlint", *workflows(tmp_path)], check=True)


def test_the_page_says_what_the_action_takes_and_gives() -> None:
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    for name in [*ACTION["inputs"], *ACTION["outputs"]]:
        assert f"`{name}`" in page
