"""Tests of what GitHub gets: annotations, lines in groups, and the Markdown of a run."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from made_run import ERROR, EVENTS, HOSTILE, NODES, pipeline, record_of, spec
from markdown_it import MarkdownIt

from nfrun.core.errors import Cause, Diagnostic, SourceSpan
from nfrun.core.events import (
    Event,
    Failure,
    Frame,
    NodeCancelled,
    NodeFailed,
    NodeFinished,
    NodeLogged,
    NodeRetrying,
    NodeStarted,
    RunFinished,
    RunStarted,
)
from nfrun.core.plan import Node, make_plan
from nfrun.core.values import replace
from nfrun.reports.ci.github_report import (
    Annotation,
    GitHubLines,
    GitHubReport,
    HarmlessStream,
    Workspace,
    annotation_lines,
    diagnostic_annotations,
    harmless,
    line_of_node,
)
from nfrun.reports.ci.github_summary import code, fenced, plain, summary_of
from nfrun.reports.run_record import RunRecord

COMMANDS = (
    *("debug", "notice", "warning", "error", "group", "endgroup", "add-mask", "stop-commands", "echo", "set-env"),
    *("set-output", "save-state", "add-path", "add-matcher", "remove-matcher"),
)


def command_of(line: str) -> tuple[str, dict[str, str], str] | None:
    """Parse a line as the runner does: the name, the properties and the message; None if it is no command."""
    text = line.lstrip()
    if text.startswith("::") and "::" in text[2:]:
        head, message = text[2:].split("::", 1)
        name, _, properties = head.partition(" ")
        if name.lower() in COMMANDS:
            pairs = dict(pair.split("=", 1) for pair in properties.strip().split(",") if "=" in pair)
            return name.lower(), {key: decoded(value, ":,") for key, value in pairs.items()}, decoded(message)
    if (old := re.search(r"##\[([^\] ]+)[^\]]*\]", line)) and old[1].lower() in COMMANDS:
        return old[1].lower(), {}, ""
    return None


def decoded(text: str, more: str = "") -> str:
    for character in f"\r\n{more}%":
        text = text.replace(f"%{ord(character):02X}", character)
    return text


def commands(text: str) -> list[tuple[str, dict[str, str], str]]:
    return [found for line in re.split(r"\r\n|\n|\r", text) if (found := command_of(line))]


# ------------------------------------------------------------------ commands


@given(st.text(), st.text())
@example(HOSTILE, HOSTILE)
@example("100%0A, a:b", "%25")
def test_an_annotation_is_one_command_with_its_text(title: str, message: str) -> None:
    line = Annotation("error", title, message, "a b,c:d.py", 3, 4).command
    assert "\n" not in line
    found = command_of(line)
    assert found is not None
    name, properties, text = found
    assert (name, properties["file"], properties["line"], properties["col"]) == ("error", "a b,c:d.py", "3", "4")
    if title.strip() and title.isprintable():
        assert properties["title"] == title.rstrip()  # the runner cuts spaces off
    if message.isprintable():
        assert text == message


def test_a_whole_file_and_one_elsewhere_have_no_numbers() -> None:
    assert Annotation("notice", "t", "m", "a.yaml").command == "::notice file=a.yaml,title=t::m"
    assert Annotation("notice", "t", "m", "", 3, 4).command == "::notice title=t::m"
    assert Annotation("error", "t", "m" * 5_000).command == f"::error title=t::{'m' * 4_000}…"


def test_of_each_level_there_are_as_many_annotations_as_github_shows() -> None:
    def of(level: str, count: int) -> list[Annotation]:
        return [Annotation(level, "t", str(i)) for i in range(count)]

    found = annotation_lines([*of("error", 11), *of("warning", 10), *of("error", 2), *of("notice", 1)])
    assert [len([*group]) for _, group in groupby(found, lambda line: line[:4])] == [10, 10, 1]
    assert found[8:11] == [
        "::error title=t::8",
        "::error::4 more: the log has all of them, and the summary of the job",
        "::warning title=t::0",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "::warning file=steps.py,line=7::the model is small",
        "  ::error::no",
        "::NOTICE title=a b::yes ##[group]",
        "::debug::x",
        "::add-mask::s3cret",
    ],
)
def test_messages_of_a_node_reach_the_runner(line: str) -> None:
    assert line_of_node(line) == line.lstrip()
    assert command_of(line_of_node(line)) == command_of(line)


@pytest.mark.parametrize(
    "line",
    [
        "::set-env name=PATH::/tmp",
        "::set-output name=x::1",
        "\t ::stop-commands::token",
        "::group::mine",
        "::endgroup::",
        "::add-matcher::m.json",
        "::save-state name=a::b",
        "::echo::on",
        "done ##[add-path]/tmp",
        "##[stop-commands]token",
        "##[warning]old",
        "::warning",
        "::::",
        "\u00a0::set-output name=x::1",
    ],
)
def test_other_commands_of_a_node_do_not(line: str) -> None:
    assert command_of(line_of_node(line)) is None
    assert line_of_node(line).replace("| ::", "::").replace("## [", "##[") == line


@given(st.text(), st.text(alphabet=":#[]\n\r aegroup"))
def test_harmless_text_has_no_commands(text: str, more: str) -> None:
    for each in (text, more, f"::error::{text}", f" ::group::{more}", f"\r::error::{more}"):
        assert commands(harmless(each)) == []


def test_a_harmless_stream_sees_lines_in_parts() -> None:
    out = io.StringIO()
    stream = HarmlessStream(out)
    for part in ("::error", "::a\n", "b", "::error::c\n", "  ::debug::d", "", "\n::e::\n"):
        stream.write(part)
    assert out.getvalue() == "| ::error::a\nb::error::c\n  | ::debug::d\n| ::e::\n"
    assert stream.getvalue() == out.getvalue()


def test_a_json_document_stays_the_same_document() -> None:
    out = io.StringIO()
    HarmlessStream(out, as_json=True).write('{"error": "##[stop-commands]t"}')
    assert out.getvalue() == '{"error": "##\\u005bstop-commands]t"}'


# ------------------------------------------------------------------ lines


def lines_of(events: Sequence[Event], *, verbose: bool = False) -> list[str]:
    record, out = record_of([]), io.StringIO()
    lines = GitHubLines(record, out, verbose=verbose)
    for event in events:
        record.event(event)
        lines.event(event)
    lines.close()
    return out.getvalue().splitlines()


def test_what_nodes_print_at_once_is_not_mixed() -> None:
    events: list[Event] = [
        RunStarted(0.0, 9, 2),
        NodeStarted(0.0, "orders", 1),
        NodeStarted(0.0, "may_fail", 1),
        NodeStarted(0.0, "fit@lr", 1),
        *(NodeLogged(0.1, node, "stdout", f"{node} says {i}") for i in range(2) for node in ("orders", "may_fail")),
        NodeLogged(0.1, "fit@lr", "stdout", "first try"),
        NodeRetrying(0.2, "fit@lr", 1, 1.0, ERROR, duration=0.1),
        NodeLogged(0.2, "orders", "stderr", "::warning file=a.py,line=1::careful"),
        NodeLogged(0.2, "orders", "stderr", HOSTILE),
        NodeFinished(0.3, "orders", 1, duration=0.3),
        NodeFinished(0.3, "checked", 1, duration=0.1),
        NodeLogged(0.35, "late", "stdout", "begins"),
        NodeFailed(0.4, "may_fail", 1, Failure(Cause.NODE, "", HOSTILE), duration=0.4),
        NodeCancelled(0.5, "late", "Ctrl-C"),
        NodeLogged(0.5, "fit@rf", "stdout", "goes on"),
        RunFinished(0.6, "failed"),
    ]
    found = lines_of(events)
    groups = [line for line in found if command_of(line) in (None,) or command_of(line)[0] != "warning"]
    assert [re.sub(r"\\x1b.*", "…", line) for line in groups] == [
        "    0.000 s  shop: 9 nodes, up to 2 at a time",
        "::group::0.200 s  fit@lr failed, next attempt in 1.00 s: KeyError: …",
        "first try",
        "::endgroup::",
        "::group::0.300 s  orders finished in 300 ms",
        "orders says 0",
        "orders says 1",
        "…",
        "::endgroup::",
        "    0.300 s  checked finished in 100 ms",
        "::group::0.400 s  may_fail failed: …",
        "may_fail says 0",
        "may_fail says 1",
        "::endgroup::",
        "::group::0.500 s  late cancelled",
        "begins",
        "::endgroup::",
        "::group::0.600 s  fit@rf has not ended",
        "goes on",
        "::endgroup::",
    ]
    assert [name for name, _, _ in commands("\n".join(found))] == [
        *("group", "endgroup", "group", "warning", "endgroup"),
        *("group", "endgroup") * 3,
    ]


def test_what_a_node_prints_that_runs_for_long_comes_after_a_minute() -> None:
    record, out, now = record_of([]), io.StringIO(), [0.0]
    lines = GitHubLines(record, out, clock=lambda: now[0])
    events: list[Event] = [
        NodeStarted(0.0, "orders", 1),
        NodeLogged(5.0, "orders", "stdout", "begins"),
        NodeLogged(50.0, "late", "stdout", "begins, too"),
    ]
    for event in events:
        record.event(event)
        lines.event(event)
    now[0] = 64.0
    lines.tick()
    assert "group" not in out.getvalue()
    now[0] = 65.0
    lines.tick()
    assert out.getvalue().endswith("::group::65.000 s  orders runs on\nbegins\n::endgroup::\n")
    lines.event(NodeFinished(70.0, "orders", 1, duration=70.0))
    lines.close()
    assert out.getvalue().splitlines()[-4:] == [
        "   70.000 s  orders finished in 70.0 s",
        "::group::50.000 s  late has not ended",
        "begins, too",
        "::endgroup::",
    ]


# ------------------------------------------------------------------ annotations


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a pipeline in a folder, which is the working directory."""
    folder = tmp_path / "work" / "shop"
    (folder / "sub").mkdir(parents=True)
    for file in ("etl.yaml", "sub/clean.yaml", "steps.py"):
        (folder / file).touch()
    monkeypatch.chdir(folder)
    return tmp_path / "work"


def report_of(events: Sequence[Event], folder: str, add_summary: Callable[[], object] = lambda: None) -> list[str]:
    out, here = io.StringIO(), replace(pipeline(), folder=str(Path.cwd()))
    GitHubReport(record_of(events, here), out, Workspace(folder), add_summary).close()
    return out.getvalue().splitlines()


def test_failed_nodes_and_checks_are_annotated_where_they_stand(workspace: Path) -> None:
    found = commands("\n".join(report_of(EVENTS, str(workspace))))
    shown = [(name, p.get("file"), p.get("line"), p.get("col"), p["title"]) for name, p, _ in found]
    hostile = shown.pop(4)
    assert shown == [
        ("error", "shop/steps.py", "21", None, "shop: node 'fit@rf' failed"),
        ("error", "shop/etl.yaml", "6", "3", "shop: the check 'not_null: id' of node 'checked' does not hold"),
        ("error", "shop/etl.yaml", "12", "3", "shop: node 'notify' failed"),
        ("warning", "shop/etl.yaml", "7", "3", "shop: node 'may_fail' failed"),
        (
            "notice",
            "shop/sub/clean.yaml",
            "2",
            "3",
            "shop: the check 'rows: min 5' of node 'etl@DE/clean' does not hold",
        ),
    ]
    assert hostile[:4] == ("warning", "shop/sub/clean.yaml", "2", "3")
    text = found[0][2]
    assert text.startswith("etl.yaml:5:3: node 'fit@rf' failed: KeyError: \\x1b[31m\\x00")
    assert "\n  steps.py:21 in score\n    return table[price]" in text
    assert found[1][2] == "etl.yaml:6:3: the check 'not_null: id' of node 'checked': 2 rows of 10"


def test_files_outside_of_the_workspace_are_named_in_the_text_only(workspace: Path) -> None:
    for folder in ("", str(workspace / "shop/sub")):
        (error, *_) = commands("\n".join(report_of(EVENTS, folder)))
        assert "file" not in error[1]
        assert "etl.yaml:5:3: node 'fit@rf' failed" in error[2]


def test_a_workspace_behind_a_link_is_the_same(workspace: Path) -> None:
    (workspace.parent / "link").symlink_to("work")
    assert Workspace(str(workspace.parent / "link")).path_of("steps.py") == "shop/steps.py"
    assert Workspace(str(workspace)).path_of("../../link/shop/steps.py") == "shop/steps.py"
    assert Workspace(str(workspace)).path_of("gone.py") == ""
    assert Workspace(str(workspace)).path_of("") == ""


def test_frames_of_libraries_are_passed_over(workspace: Path) -> None:
    frames = [Frame("steps.py", 21, "score", "x"), Frame("/usr/lib/python3/json/__init__.py", 5, "loads", "y")]
    for folder in (".venv/lib", "env/lib/python3.12/site-packages"):
        (workspace / folder).mkdir(parents=True)
        (workspace / folder / "lib.py").touch()
        frames.append(Frame(str(workspace / folder / "lib.py"), 7, "call", "z"))
    failed = NodeFailed(2.0, "fit@rf", 1, replace(ERROR, frames=tuple(frames)), duration=0.9)
    (error,) = commands("\n".join(report_of([*EVENTS[:6], failed, RunFinished(2.8, "failed")], str(workspace))))
    assert (error[1]["file"], error[1]["line"]) == ("shop/steps.py", "21")


def test_cells_that_fail_alike_have_one_annotation(workspace: Path) -> None:
    failed = [NodeFailed(2.0, node, 1, ERROR, duration=0.9) for node in ("fit@lr", "fit@rf")]
    (error,) = commands("\n".join(report_of([*EVENTS[:6], *failed, RunFinished(2.8, "failed")], str(workspace))))
    assert error[1]["title"] == "shop: node 'fit@lr' and fit@rf failed"


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (RunFinished(1.0, "cancelled"), "::warning title=shop::the run was cancelled"),
        (RunFinished(1.0, "failed", "disk full\n::error::x"), "::error title=shop::disk full%0A::error::x"),
        (None, "::error title=shop::the run did not end"),
    ],
)
def test_a_run_that_went_wrong_beside_its_nodes_is_annotated(end: RunFinished | None, expected: str) -> None:
    assert report_of([EVENTS[0], *([end] if end else [])], "") == [expected]


def test_a_good_run_has_no_annotations() -> None:
    assert report_of([*EVENTS[:4], RunFinished(1.1, "ok")], "") == []


def test_a_summary_that_cannot_be_written_is_a_warning() -> None:
    def add_summary() -> None:
        raise PermissionError(13, "Permission denied", "/s/um")

    found = report_of([*EVENTS[:4], RunFinished(1.1, "ok")], "", add_summary)
    assert found == ["::warning title=nfrun::the summary of the step is not written: /s/um: Permission denied"]


def test_a_summary_that_is_missing_is_told_before_other_warnings_which_may_be_too_many() -> None:
    def add_summary() -> None:
        raise PermissionError(13, "Permission denied", "/s/um")

    report = report_of([*EVENTS[:4], RunFinished(1.1, "cancelled")], "", add_summary)
    assert [line.partition("::the ")[2].partition(":")[0] for line in report] == [
        "summary of the step is not written",
        "run was cancelled",
    ]


def test_mistakes_in_a_file_are_annotated(workspace: Path) -> None:
    span = SourceSpan("etl.yaml", 3, 5, 2, "text")
    found = diagnostic_annotations(
        [Diagnostic(span, "'rn' is no key, or", "did you mean 'run'?")], "error", Workspace(str(workspace))
    )
    assert annotation_lines(found) == [
        "::error file=shop/etl.yaml,line=3,col=5,title='rn' is no key%2C or::"
        "etl.yaml:3:5: 'rn' is no key, or%0Adid you mean 'run'?"
    ]


# ------------------------------------------------------------------ summary

PARSER = MarkdownIt("commonmark").enable("table")


def rendered(markdown: str) -> str:
    return str(PARSER.render(markdown))


def text_of(markup: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", markup))


def summary(
    room: int = 1 << 20, events: Sequence[Event] = EVENTS, name: str = "shop", command: str = "nfrun run x"
) -> str:
    return summary_of(record_of(events, pipeline(name)), "42-x", command, {"fit@rf": "https://g/h#L5"}, room)


def tables_of(markup: str) -> dict[str, list[list[str]]]:
    """Return the rows of each table as text, by its first headings."""
    found = {}
    for table in re.findall(r"<table>.*?</table>", markup, re.DOTALL):
        rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
        head, *body = [
            [text_of(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)] for row in rows
        ]
        found[", ".join(head[:2])] = body
    return found


def test_the_summary_of_a_failed_run() -> None:
    markup = rendered(summary())
    assert "<h2>❌ shop: failed</h2>" in markup
    assert (
        "\n3 ran, 1 reused, 4 failed (1 tolerated), 1 skipped, 1 cancelled, 1 not selected, 2.8 s. Run 42-x."
        in text_of(markup)
    )
    tables = tables_of(markup)
    assert [(row[0], row[2]) for row in tables["node, error"]] == [
        ("fit@rf", "etl.yaml:5:3"),
        ("checked", "etl.yaml:6:3"),
        ("notify", "etl.yaml:12:3"),
        ("may_fail", "etl.yaml:7:3"),
    ]
    assert tables["node, error"][0][1].startswith("KeyError: \\x1b[31m\\x00\ufffd</failure>]]>&\"'<script>")
    assert tables["node, error"][3][1] == "ValueError: odd (tolerated)"
    assert '<a href="https://g/h#L5"><code>' in markup
    assert [(row[0], row[2]) for row in tables["node, check"]] == [
        ("etl@DE/clean", "warn"),
        ("etl@DE/clean", "skip"),
        ("checked", "error"),
    ]
    assert "1 of 4 checks hold." in markup
    assert {(row[0], row[2], row[3]) for row in tables["node, kind"][:3]} == {
        ("orders", "✅ ok", "900 ms"),
        ("fit@lr", "✅ ok, 2 attempts", "900 ms"),
        ("fit@rf", "❌ failed", "900 ms"),
    }
    assert re.search("Critical path 1.80 s: orders → fit@(lr|rf)", text_of(markup))
    assert '<pre><code class="language-sh">nfrun run x\n</code></pre>' in markup
    assert "  steps.py:21 in score\n    return table[price]" in text_of(markup)
    assert markup.count("<details>") == markup.count("</details>") == 5


def test_the_summary_of_a_good_run() -> None:
    text = text_of(rendered(summary(events=[*EVENTS[:4], RunFinished(1.1, "ok")])))
    assert "✅ shop: ok" in text
    assert "\n1 ran, 1 reused, 1 not selected, 1.1 s. Run 42-x." in text
    assert "Failed" not in text
    assert "To go on" not in text
    assert "check" not in text


def test_names_and_texts_are_shown_as_they_are() -> None:
    markup = rendered(summary(name=f"`p|*` _x_ <b> {HOSTILE}", command="nfrun run '```' '<x>'"))
    assert not re.search(r"<(script|b|em|strong|x|img)\b", markup)
    assert "`p|*` _x_ <b> \\x1b" in text_of(markup)
    assert "nfrun run '```' '<x>'" in text_of(markup)


@given(st.text())
@example(HOSTILE)
@example("www.evil.example http://a.b @user #1 :smile: __init__ *a* ~~b~~ [x](y) ![i](j) | \\ <!-- -->")
def test_any_text_is_shown_as_it_is(text: str) -> None:
    for shown in (plain(text), code(text)):
        markup = rendered(f"a {shown} b")
        assert set(re.findall(r"<(\w+)", markup)) <= {"p", "code"}
        assert "\n" not in shown
    (cell,) = tables_of(rendered(f"\n|a|\n|---|\n|x{code(text)}|\n"))["a"]
    assert text.strip() == "" or len(cell) == 1
    if text.isprintable() and len(text) < 300 and text == text.strip() and "  " not in text:
        assert cell == [f"x{text}"]


@given(st.text(alphabet="`~ab\n"))
def test_a_block_of_code_ends_where_it_should(text: str) -> None:
    tokens = [token for token in PARSER.parse(f"{fenced(text)}\n\nbehind") if token.type in ("fence", "inline")]
    assert [(token.type, token.content) for token in tokens] == [("fence", f"{text}\n"), ("inline", "behind")]


@pytest.mark.parametrize("room", [0, 50, 150, 500, 1_500, 2_500])
def test_a_summary_takes_no_more_room_than_there_is(room: int) -> None:
    text = summary(room)
    assert len(text.encode()) <= room
    assert text == "" or text.endswith("\nThe rest is left out: GitHub takes 1 MiB of a step at most.\n")
    assert text.count("<details>") == text.count("</details>")


def test_many_failures_stay_within_the_limit() -> None:
    names = [f"node_{i}" for i in range(5_000)]
    many = replace(pipeline(), nodes={name: spec(name, 3) for name in names}, disabled={}, disabled_nodes={})
    record = RunRecord(make_plan([Node(name) for name in names], slots=4), many)
    text = HOSTILE * 40
    record.event(RunStarted(0.0, 5_000, 4))
    for name in names:
        record.event(NodeStarted(0.0, name, 1))
        record.event(NodeFailed(1.0, name, 1, replace(ERROR, message=text, details=text), duration=1.0))
    record.event(RunFinished(1.0, "failed"))
    found = summary_of(record, "1", "nfrun run x", {}, 1 << 20)
    assert len(found.encode()) < 1 << 20
    tables = tables_of(rendered(found))
    assert len(tables["node, error"]) == 100
    assert "… and 4,900 more" in found
    assert len(NODES) == 10  # those of the other tests stay as they are
