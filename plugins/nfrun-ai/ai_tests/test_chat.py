"""Nodes of `ai.chat` ask the pretended model of `pipelines/evals`, whose answers and failures are known."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

import nfrun
from ai_tests.conftest import EVALS, Ask, pipeline_file

pytest.importorskip("httpx")


def rows(result: nfrun.Result, output: str = "answers") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = result[output].to_pylist()
    return found


def counts(result: nfrun.Result) -> dict[str, int]:
    found: dict[str, int] = result.to_dict()["nodes"]["answers"]["map"]
    return found


def failure(result: nfrun.Result) -> str:
    """Return why the node failed."""
    assert result.status == "failed"
    return str(result.to_dict()["nodes"]["answers"]["error"])


def test_answers_tokens_dollars_and_attempts_are_those_of_the_server(ask: Ask, model: Any) -> None:
    result = ask().check()
    answers = rows(result)
    assert counts(result) == {"rows": 50, "reused": 0, "failed": 1, "calls": 60}
    assert model.running.counters() == {"requests": 60, "answered": 49, "broken": 1, "busy": 7, "garbage": 3}
    assert answers[0] == {
        **{"id": "q01", "topic": "plus", "question": "What is 52 plus 22?", "expected": "74"},
        **{"answer": "81", "finish": "stop", "tokens_in": 10, "tokens_out": 1},
        "seconds": answers[0]["seconds"],
        **{"attempts": 2, "dollars": pytest.approx((10 * 0.15 + 0.6) / 1e6)},
    }
    assert sum(row["answer"] == row["expected"] for row in answers) == 34
    assert sum(row["attempts"] for row in answers) == 56  # and 4 for the one that failed
    assert sum(row["dollars"] for row in answers) == pytest.approx((478 * 0.15 + 49 * 0.6) / 1e6)
    assert rows(result, "answers.errors") == [
        {
            "question": "How many letters has 'meadow'?",
            "error": "NoCompletion",
            "message": 'the response is no chat completion: {"choices": [{"mess',
            "attempts": 4,
        }
    ]


def test_what_has_failed_is_asked_again_and_other_prices_ask_nothing(ask: Ask, model: Any) -> None:
    first = ask()
    assert counts(ask()) == {"rows": 50, "reused": 49, "failed": 0, "calls": 1}
    asked = model.running.counters()["requests"]
    result = ask({"prices": {"small": {"input": 0.3, "output": 1.2}, "large": {"input": 1, "output": 2}}})
    assert counts(result) == {"rows": 50, "reused": 50, "failed": 0, "calls": 0}
    assert rows(result)[0]["dollars"] == pytest.approx(2 * rows(first)[0]["dollars"])
    result = ask({"prices": None})
    assert rows(result)[0]["dollars"] is None
    assert result["answers"].schema.field("dollars").type == "double"
    assert model.running.counters()["requests"] == asked
    assert counts(ask({"temperature": 0.5}))["reused"] == 0


def test_answers_that_are_cut_say_so(ask: Ask) -> None:
    found = rows(ask({"messages": "{question} Think step by step.", "max_tokens": 3}))
    assert {row["finish"] for row in found} == {"length"}
    assert {row["tokens_out"] for row in found} == {3}


SCHEMA = {"type": "object", "required": ["result"], "properties": {"result": {"type": "string"}}}


def test_answers_are_valid_for_the_schema(ask: Ask) -> None:
    assert rows(ask({"schema": SCHEMA}))[0]["answer"] == '{"result": "81"}'
    number = {**SCHEMA, "properties": {"result": {"type": "integer"}}}
    result = ask({"schema": number}, map={"over": "questions", "on_error": "collect", "max_failed": 50})
    assert rows(result) == []
    assert rows(result, "answers.errors")[0] == {
        "question": "What is 52 plus 22?",
        "error": "WrongAnswer",
        "message": """the answer is not valid for 'schema': ['result']: "81" is not of type "integer\"""",
        "attempts": 4,
    }
    result = ask({"schema": SCHEMA, "max_tokens": 1}, map="questions", retries=None)
    what = """WrongAnswer: the answer is no JSON; it is cut, so raise 'max_tokens': {"result":"""
    assert failure(result) == what


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "huge", "prices": None}, "RequestRefused: status 404: there is no model 'huge'"),
        ({"model": "huge"}, "WrongValue: 'prices' has none for the model 'huge'; it has small"),
        (
            {"schema": {"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}}},
            "WrongValue: 'schema' is no JSON Schema: Pointer '/$defs/b' does not exist",
        ),
    ],
)
def test_what_would_fail_for_each_row_fails_at_once(ask: Ask, model: Any, values: Any, message: str) -> None:
    result = ask(values)
    assert failure(result) == message
    assert model.running.counters()["requests"] <= 50  # each once at most


def test_a_wrong_key_fails_at_once_and_is_not_shown(
    ask: Ask, model: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODEL_KEY", "hunter2-hunter2")
    result = nfrun.load(pipeline_file(tmp_path, model.running.url)).run()
    assert failure(result) == "RequestRefused: status 401: wrong API key"
    assert {*model.running.counters()} == {"requests", "unauthorized"}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files and not [path for path in files if b"hunter2-hunter2" in path.read_bytes()]


def test_no_key_is_sent_that_the_file_does_not_name(
    ask: Ask, model: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("API_KEY", model.running.key)
    assert failure(ask(env=None)) == "RequestRefused: status 401: wrong API key"
    file = pipeline_file(tmp_path, model.running.url, env=None)
    file.write_text("env: {API_KEY: '${{ secrets.MODEL_KEY }}'}\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
    assert nfrun.load(file).run().status == "ok"


def test_an_endpoint_that_is_not_there(ask: Ask, model: Any) -> None:
    model.running.shutdown()
    model.running.server_close()
    url = f"{model.running.url}/chat/completions"
    found = failure(ask(map="questions", retries=1))
    assert found == f"RequestFailed: no response from {url}: Connection refused"


def test_an_answer_that_takes_too_long(ask: Ask, model: Any) -> None:
    model.SECONDS = (60.0, 60.0)
    result = ask(map={"over": "questions", "on_error": "collect", "max_failed": 50}, retries=None, timeout="50ms")
    answered = counts(result)["rows"] - counts(result)["failed"]
    assert answered == 0
    assert {row["error"] for row in rows(result, "answers.errors")} <= {"Timeout", "RequestFailed"}


def test_rows_with_a_null_are_not_asked(ask: Ask, model: Any, tmp_path: Path) -> None:
    (tmp_path / "few.csv").write_text("id,topic,question,expected\nq1,plus,What is 1 plus 1?,2\nq2,plus,,3\n")
    result = ask(questions="few.csv")
    assert rows(result, "answers.errors") == [
        {"question": None, "error": "WrongValue", "message": "the column 'question' is null", "attempts": 1}
    ]
    assert model.running.counters()["requests"] == 1


def test_no_rows_are_no_requests(ask: Ask, model: Any, tmp_path: Path) -> None:
    (tmp_path / "none.csv").write_text("id,topic,question,expected\n")
    assert rows(ask(questions="none.csv").check()) == []
    assert model.running.counters() == {"requests": 0}


def test_columns_that_are_not_there_are_told_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_KEY", "a-key")
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Q: {questoin}"}]
    file = pipeline_file(tmp_path, "http://127.0.0.1:1/v1", {"messages": messages})
    with pytest.raises(nfrun.SpecError) as raised:
        nfrun.load(file).plan()
    (found,) = raised.value.problems
    line = file.read_text(encoding="utf-8").splitlines()[found.span.line - 1]
    assert line[found.span.column - 1 :] == "'Q: {questoin}'"
    assert found.message == "'ai.chat' names the column 'questoin', which 'questions' does not have"
    assert found.hint == "did you mean 'question'?"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"url": "htp://x/v1"}, "'url' cannot be 'htp://x/v1'"),
        ({"url": None}, "'ai.chat' needs 'url'"),
        ({"messages": "hello"}, "'messages' names no column of 'questions': each row would get the same"),
        ({"messages": []}, "'messages' is empty"),
        ({"messages": [{"role": "robot", "content": "{id}"}]}, "'role' must be system, developer, user or assistant"),
        ({"messages": [{"role": "user", "content": 7}]}, "'content' must be a string, not 7"),
        ({"messages": [{"role": "user", "content": ["{id}"]}]}, "an item of 'content' must be a mapping, not '{id}'"),
        ({"temperature": 3}, "'temperature' must be at most 2, not 3"),
        ({"max_token": 3}, "'ai.chat' has no 'max_token'"),
        ({"options": {"stream": True}}, "'options' cannot be 'stream'"),
        ({"schema": {"type": "array"}}, "'type' must be object, not 'array'"),
        ({"schema": {"type": "object", "properties": {"n": {"type": "integr"}}}}, "'type' must be array, boolean, "),
        ({"schema": {"type": "object", "properties": {"n": {"type": 7}}}}, "'type' must be"),
        ({"schema": {"type": "object", "properties": {"n": 7}}}, "'n' must be"),
        ({"schema": {"type": "object", "required": "n"}}, "'required' must be a list, not 'n'"),
        ({"schema": {"type": "object", "properties": {"n": {"enum": 5}}}}, "'enum' must be a list, not 5"),
        ({"prices": {"small": {"input": -1, "output": 1}}}, "'input' must be at least 0, not -1"),
    ],
)
def test_wrong_values_are_told_before_the_run(tmp_path: Path, values: Any, message: str) -> None:
    with pytest.raises(nfrun.SpecError) as raised:
        nfrun.load(pipeline_file(tmp_path, "http://127.0.0.1:1/v1", values))
    (found,) = raised.value.problems
    assert found.message.startswith(message)


def test_evals_gets_the_same_answers_in_its_own_way(ask: Ask) -> None:
    """Its client has no package; both ask the same."""
    with (EVALS / "prompts.csv").open(encoding="utf-8", newline="") as file:
        template = next(row["template"] for row in csv.DictReader(file) if row["id"] == "steps")
    found = rows(ask({"messages": template, "model": "large", "prices": {"large": {"input": 2.5, "output": 10}}}))
    assert sum(row["answer"].split()[-1] == row["expected"] for row in found) == 46
    assert sum(row["dollars"] for row in found) == pytest.approx(0.01337)
