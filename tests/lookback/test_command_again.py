"""The commands that reports suggest: they go on from a run, or make its tables again."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from nfrun.cli.fast_args import parse_plain
from nfrun.core.values import replace
from nfrun.history.journal import RunHeader
from nfrun.lookback.command_again import command_again, command_for_tables, command_to_go_on
from nfrun.lookback.run_reference import ListedRun

RUN = ["nfrun", "run", "p.yaml"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "nfrun run p.yaml"),
        (["-p", "name=a b", "-j", "4"], "nfrun run p.yaml -p 'name=a b' -j 4"),
        (["--fresh", "--json", "-q", "-v", "--quiet", "--verbose"], "nfrun run p.yaml"),
        (["--events", "e.jsonl", "--color=never", "--schedule", "staged", "-k"], "nfrun run p.yaml -k"),
        (["--force", "a", "--force=b"], "nfrun run p.yaml"),
        (["--only", "a", "--exclude=b"], "nfrun run p.yaml --only a --exclude=b"),
        (["-p", "token=***"], "nfrun run p.yaml (add -p token=…: a secret)"),
        (
            ["-p", "a=1", "--param", "token=***", "-p=b=***"],
            "nfrun run p.yaml -p a=1 (add --param token=… -p=…: secrets)",
        ),
    ],
)
def test_options_that_run_every_node_or_only_show_something_are_left_out(words: list[str], expected: str) -> None:
    assert command_again([*RUN, *words]) == expected


def test_words_are_added_before_what_is_no_option() -> None:
    again = command_again(["nfrun", "run", "--fresh", "--", "-p.yaml"], ["fit@lr", "a b"], ["--keep"])
    assert again == "nfrun run --keep --force fit@lr --force 'a b' -- -p.yaml"


@pytest.mark.parametrize(
    ("words", "force", "unfinished", "expected"),
    [
        (["--only", "fit"], [], ["failed"], "--only fit"),
        (["--only", "status:failed"], [], ["failed"], "--only status:failed"),
        (["--only", "status:failed"], [], ["failed", "skipped"], "--only status:failed --only status:skipped"),
        (["--from=status:failed,kind:sql", "--exclude", "x"], [], ["skipped"], "--only status:skipped"),
        (["--until", "+status:s*", "-j", "2"], [], ["failed"], "-j 2 --only status:failed"),
        (["--force", "fit"], ["fit"], ["failed"], "--force fit"),
        (["--force", "status:ok"], ["status:ok"], ["skipped"], "--force status:skipped"),
        (["-p", "a=status:ok"], [], ["failed"], "-p a=status:ok"),
    ],
)
def test_a_selection_by_status_becomes_one_of_what_has_not_finished(
    words: list[str], force: list[str], unfinished: list[str], expected: str
) -> None:
    assert command_to_go_on([*RUN, *words], force, unfinished) == f"nfrun run p.yaml {expected}"


def listed(folder: Path, *words: str) -> ListedRun:
    run = folder / ".nfrun" / "runs" / "1"
    run.mkdir(parents=True, exist_ok=True)
    return ListedRun(RunHeader("1", "p.yaml", 1, command=words), run, "ok", None)


def test_tables_are_made_again_from_the_folder_where_people_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    assert command_for_tables(listed(tmp_path, *RUN), ["a"]) == "nfrun run p.yaml --keep --force a"
    assert command_for_tables(listed(tmp_path, *RUN, "--keep", "--only", "b", "--until=c"), ["a"]) == (
        "nfrun run p.yaml --keep --force a"
    )
    monkeypatch.chdir("/")
    again = command_for_tables(listed(tmp_path, *RUN), ["a"])
    assert again == f"nfrun run {str(tmp_path / 'p.yaml')[1:]} --keep --force a"


def test_the_command_of_a_run_with_a_date_is_about_this_date_on_any_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command_to_go_on([*RUN, "-k"], ["a"], [], "2026-01-31") == "nfrun run p.yaml -k --date 2026-01-31 --force a"
    assert command_to_go_on([*RUN, "--date=2026-01-31"], [], [], "2026-01-31") == "nfrun run p.yaml --date=2026-01-31"
    (tmp_path / "p.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    run = listed(tmp_path, *RUN)
    run = replace(run, header=replace(run.header, date="2026-01-31"))
    assert command_for_tables(run, ["a"]) == "nfrun run p.yaml --date 2026-01-31 --keep --force a"


@pytest.mark.parametrize("words", [["--cache-size", "0"], ["--cache-size=0"], ["--work=.nfrun"], ["--work", ".nfrun"]])
def test_the_command_that_makes_tables_again_is_one_that_a_run_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    (tmp_path / "p.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    again = shlex.split(command_for_tables(listed(tmp_path, *RUN, *words), ["a"]))
    assert callable(parse_plain(again[1:])), again


def test_inputs_are_named_as_the_run_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = listed(tmp_path, *RUN, "--input", "t=t.csv")
    run = replace(run, header=replace(run.header, inputs={"t": "data/t.csv"}))
    (tmp_path / "p.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    assert command_for_tables(run, []) == "nfrun run p.yaml --input t=t.csv --keep"
    by_program = replace(run, header=replace(run.header, command=()))
    assert command_for_tables(by_program, []) == "nfrun run p.yaml --input t=data/t.csv --keep"
    secret = replace(run, header=replace(run.header, command=(*RUN, "--input", "v=s3://***@b/v.csv")))
    assert command_for_tables(secret, []) == "nfrun run p.yaml --keep (add --input v=…: a secret)"


def test_a_work_folder_that_is_elsewhere_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = listed(tmp_path / "copy", *RUN)
    (tmp_path / "p.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    assert command_for_tables(run, []) == "nfrun run p.yaml --keep --work copy/.nfrun"
    given = listed(tmp_path / "copy", *RUN, "--work", "/gone/.nfrun")
    assert command_for_tables(given, []) == "nfrun run p.yaml --keep --work copy/.nfrun"
