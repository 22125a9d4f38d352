"""Tests of the JUnit file, against Jenkins' schema of it and with a parser that others wrote."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree

import pytest
from junitparser import Failure as FailedCase
from junitparser import JUnitXml, Skipped
from lxml import etree
from made_run import ERROR, EVENTS, HOSTILE, pipeline, record_of

from nfrun.core.errors import Cause
from nfrun.core.events import Event, NodeCancelled, NodeFailed, NodeRetrying, RunFinished, RunStarted
from nfrun.core.values import replace
from nfrun.reports.ci.junit import JUnitFile

# The schema of Jenkins' xUnit plug-in, under the MIT license, as pytest tests its own files with.
SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).with_name("junit-10.xsd")))
STARTED = "2026-11-26T20:15:00+00:00"
PROPERTIES = {"run": "42-20261126-201500", "param.country": HOSTILE}


def written(tmp_path: Path, events: list[Event] = EVENTS, name: str = "shop") -> Path:
    record = record_of(events, pipeline(name))
    file = tmp_path / "junit.xml"

    def write(tree: ElementTree[Element]) -> None:
        tree.write(file, encoding="utf-8", xml_declaration=True)

    def log_tail(node: str, attempt: int) -> list[str]:
        return [f"stdout | {node} {attempt}", HOSTILE]

    report = JUnitFile(record, STARTED, "ci-1", PROPERTIES, write, log_tail)
    for event in events:
        if isinstance(event, report.event_types):
            report.event(event)
    report.close()
    SCHEMA.assertValid(etree.parse(file))
    return file


@pytest.fixture
def found(tmp_path: Path) -> etree._Element:
    return etree.parse(written(tmp_path)).getroot()


def case(root: etree._Element, name: str) -> etree._Element:
    (found,) = root.xpath(f"//testcase[@name={name!r}]")
    return found


def test_another_parser_reads_the_same_numbers(tmp_path: Path) -> None:
    suites = JUnitXml.fromfile(str(written(tmp_path)))
    assert (suites.name, suites.tests, suites.failures, suites.errors) == ("shop", 15, 3, 1)
    assert [(suite.name, suite.tests, suite.skipped) for suite in suites] == [("shop", 11, 4), ("shop/etl", 4, 1)]
    results = {c.name: [type(r) for r in c.result] for suite in suites for c in suite}
    assert results["fit@rf"] == [FailedCase]
    assert results["after"] == [Skipped]
    assert results["orders"] == []


def test_each_sort_of_node_is_told_apart(found: etree._Element) -> None:
    shown = {
        c.get("name"): Counter(child.tag for child in c)
        for c in found.iter("testcase")
        if "clean" not in c.get("classname")
    }
    assert shown == {
        "orders": {},
        "old": {"system-out": 1},
        "fit@lr": {"flakyError": 1},
        "fit@rf": {"failure": 1, "system-out": 1},
        "etl@DE/clean": {"system-out": 1},
        "checked": {"failure": 1, "system-out": 1},
        "not_null: id": {"failure": 1},
        "may_fail": {"skipped": 1, "system-out": 1},
        "after": {"skipped": 1},
        "late": {"skipped": 1},
        "off": {"skipped": 1},
        "notify": {"error": 1, "system-out": 1},
    }
    assert case(found, "orders").get("time") == "0.900"
    assert case(found, "old").get("time") == "0.000"
    assert case(found, "fit@lr").get("time") == "0.900"  # of both attempts
    assert case(found, "old").findtext("system-out") == "reused: an earlier run has finished it"


def test_cells_are_in_the_class_of_their_matrix_and_checks_in_that_of_their_node(found: etree._Element) -> None:
    classes = {c.get("name"): c.get("classname") for c in found.iter("testcase")}
    assert classes["orders"] == "shop"
    assert classes["fit@lr"] == classes["fit@rf"] == "shop.fit"
    assert classes["etl@DE/clean"] == "shop.etl"
    assert classes["unique: id"] == "shop.etl.clean"
    assert classes["rows: min 5 of etl@DE/clean.small"] == "shop.etl.clean"


def test_a_failure_has_its_message_type_traceback_and_place(found: etree._Element) -> None:
    failure = case(found, "fit@rf").find("failure")
    assert failure is not None
    assert failure.get("type") == "KeyError"
    assert failure.get("message", "").startswith("KeyError: \\x1b[31m\\x00\\ufffe</failure>]]>&\"'<script>\\ud800 ")
    text = failure.text or ""
    assert text.startswith("etl.yaml:5:3: node 'fit@rf' failed: KeyError: ")
    assert "  steps.py:21 in score\n    return table[price]\n" in text
    assert "caused by rain" in text
    assert "orders: 2 rows, id: int64" in text
    assert (case(found, "notify").find("error").get("type"), case(found, "notify").find("error").get("message")) == (
        "lost",
        "the worker process ended",
    )


def test_reasons_of_what_was_skipped(found: etree._Element) -> None:
    why = {
        c.get("name"): c.find("skipped").get("message") for c in found.iter("testcase") if c.find("skipped") is not None
    }
    assert why == {
        "may_fail": "failed, and 'continue_on_error' lets the run go on: ValueError: odd",
        "after": "it needs fit@rf",
        "late": "cancelled: node 'fit@rf' failed",
        "off": "disabled: its 'if' is false",
        "rows: min 5 of etl@DE/clean.small": "its output is absent, and what reads it is skipped: it has 1 row",
    }


def test_a_check_that_warns_is_no_failure(found: etree._Element) -> None:
    (warned,) = (c for c in found.iter("testcase") if c.get("name", "").startswith("hostile"))
    assert [child.tag for child in warned] == ["system-out"]
    assert "3 rows of 10; the first: id: 1\nthe first failing rows are in /w/rows.arrow" in warned.findtext(
        "system-out"
    )
    assert "warning: sub/clean.yaml:2:3: the check 'hostile" in case(found, "etl@DE/clean").findtext("system-out")


def test_properties_and_logs(found: etree._Element) -> None:
    properties = {p.get("name"): p.get("value") for p in found.iter("property")}
    assert properties["run"] == "42-20261126-201500"
    assert properties["nodes.reused"] == "1"
    assert properties["param.country"].startswith("\\x1b[31m\\x00\\ufffe</failure>")
    assert case(found, "fit@rf").findtext("system-out").startswith("stdout | fit@rf 1\n\\x1b[31m\\x00")
    assert [suite.get("timestamp") for suite in found.iter("testsuite")] == [STARTED] * 2


def test_a_check_of_a_node_that_may_fail_fails_nothing(tmp_path: Path) -> None:
    failed = replace(EVENTS[13], tolerated=True)
    assert isinstance(failed, NodeFailed)
    root = etree.parse(written(tmp_path, [*EVENTS[:10], EVENTS[12], failed, RunFinished(2.8, "ok")])).getroot()
    for name in ("checked", "not_null: id"):
        assert (
            case(root, name).find("skipped").get("message").startswith("failed, and 'continue_on_error' lets the run")
        )
    assert (root.get("failures"), root.get("errors")) == ("0", "0")


def test_a_retried_node_that_fails_at_last_has_its_earlier_failures(tmp_path: Path) -> None:
    retried = replace(EVENTS[6], node="fit@rf", failure=ERROR)
    assert isinstance(retried, NodeRetrying)
    root = etree.parse(written(tmp_path, [*EVENTS[:6], retried, *EVENTS[7:]])).getroot()
    assert [child.tag for child in case(root, "fit@rf")] == ["failure", "rerunFailure", "system-out"]
    assert "steps.py:21 in score" in case(root, "fit@rf").findtext("rerunFailure/stackTrace")


@pytest.mark.parametrize(
    ("end", "message", "kind"),
    [
        (RunFinished(3.0, "cancelled"), "the run was cancelled", "cancelled"),
        (RunFinished(3.0, "failed", f"disk full {HOSTILE}", Cause.IO), "disk full \\x1b[31m\\x00", "failed"),
        (None, "the run did not end", "lost"),
    ],
)
def test_a_run_that_went_wrong_beside_its_nodes_is_no_green_file(
    tmp_path: Path, end: RunFinished | None, message: str, kind: str
) -> None:
    events: list[Event] = [RunStarted(0.0, 9, 2), NodeCancelled(1.0, "orders", "Ctrl-C"), *([end] if end else [])]
    root = etree.parse(written(tmp_path, events, f"hostile {HOSTILE}")).getroot()
    error = case(root, "the run").find("error")
    assert error.get("message").startswith(message)
    assert error.get("type") == kind
    assert (root.get("errors"), root.get("failures")) == ("1", "0")
    assert case(root, "orders").find("skipped").get("message") == "cancelled: Ctrl-C"
    assert case(root, "late").find("skipped").get("message") == "not finished when the run ended"


def test_a_good_run_has_no_case_of_its_own(tmp_path: Path) -> None:
    events: list[Event] = [*EVENTS[:4], RunFinished(1.1, "ok")]
    root = etree.parse(written(tmp_path, events)).getroot()
    assert not root.xpath("//testcase[@name='the run']")
    assert (root.get("errors"), root.get("failures"), root.get("time")) == ("0", "0", "1.100")
