"""The request of a row, and what responses mean."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from nfrun_ai.chat import (
    NoCompletion,
    RequestFailed,
    RequestRefused,
    WrongAnswer,
    WrongValue,
    after,
    check_answer,
    check_status,
    header_of,
    read_completion,
    request_of,
    validator_of,
)

SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"enum": ["x", "y"]}}}
VALUES = {"url": "http://x", "model": "small", "messages": "Is {n} {what}?"}
ROW = {"n": 3, "what": "odd"}


def test_a_text_is_one_message_of_the_user() -> None:
    asked = [{"role": "user", "content": "Is 3 odd?"}]
    assert request_of(VALUES, ROW) == {"model": "small", "messages": asked}


def test_a_message_may_have_parts() -> None:
    parts = [{"type": "text", "text": "Is it {what}?"}, {"type": "image_url", "image_url": {"url": "{url}"}}]
    row = {"what": "odd", "url": "https://x/y.png"}
    (message,) = request_of({**VALUES, "messages": [{"role": "user", "content": parts}]}, row)["messages"]
    assert message["content"] == [
        {"type": "text", "text": "Is it odd?"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
    ]


def test_a_request_has_all_that_is_given() -> None:
    messages = [{"role": "system", "content": "Be {what}."}, {"role": "user", "content": '{"n": {n}, "{{n}}": 1}'}]
    more = {"messages": messages, "temperature": 0, "max_tokens": 5, "schema": SCHEMA, "options": {"seed": 7}}
    assert request_of({**VALUES, **more}, ROW) == {
        "model": "small",
        "messages": [{"role": "system", "content": "Be odd."}, {"role": "user", "content": '{"n": 3, "{n}": 1}'}],
        "seed": 7,
        "temperature": 0,
        "max_tokens": 5,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA},
        },
    }


@pytest.mark.parametrize(
    ("key", "header"),
    [("", {}), (" \n", {}), ("abc", {"Authorization": "Bearer abc"}), ("abc\n", {"Authorization": "Bearer abc"})],
)
def test_the_header_with_the_key(key: str, header: dict[str, str]) -> None:
    assert header_of(key) == header


@pytest.mark.parametrize("key", ["hunter2\nhunter3", "hüntér2", "hunter2\0"])
def test_a_key_that_is_none_is_not_shown(key: str) -> None:
    with pytest.raises(WrongValue) as raised:
        header_of(key)
    assert "nter" not in str(raised.value) and raised.value.every_row


def test_dollars_take_the_place_of_a_column_of_that_name() -> None:
    rows = pa.table({"dollars": ["many"], "tokens_in": [10], "tokens_out": pa.array([None], pa.int64())})
    prices = {"small": {"input": 1.0, "output": 2.0}}
    assert after({"model": "small", "prices": prices}, rows).to_pylist() == [
        {"tokens_in": 10, "tokens_out": None, "dollars": None}
    ]
    assert after({"model": "small"}, pa.table({"id": [1]})).column_names == ["id"]


def test_a_completion_is_read() -> None:
    text = '{"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 4}}'
    assert read_completion(text) == {"answer": "yes", "finish": "stop", "tokens_in": 4, "tokens_out": None}
    filtered = '{"choices": [{"message": {"refusal": "no"}, "finish_reason": "content_filter"}], "usage": null}'
    assert read_completion(filtered) == {
        "answer": None,
        "finish": "content_filter",
        "tokens_in": None,
        "tokens_out": None,
    }


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "7", "<html>", '{"choices": []}', '{"choices": {}}', '{"choices": [1]}', "\0"),
        *('{"choices": [{}]}', '{"choices": [{"message": null}]}', '{"choices": [{"message": {"content": [1]}}]}'),
        *('{"choices": [{"message": {"content": "a"}}], "usage": 7}',),
        *('{"choices": [{"message": {"content": "a"}}], "usage": {"prompt_tokens": "7"}}',),
        *('{"choices": [{"message": {"content": "a"}, "finish_reason": {}}]}', "[" * 100_000),
    ],
)
def test_what_is_no_completion(text: str) -> None:
    with pytest.raises(NoCompletion, match=r"^the response is no chat completion: "):
        read_completion(text)


@pytest.mark.parametrize(
    ("status", "text", "message", "every_row"),
    [
        (401, '{"error": {"message": "wrong key"}}', "status 401: wrong key", True),
        (403, '{"error": "no"}', "status 403: no", True),
        (404, "", "status 404: it is empty", True),
        (301, "moved", "status 301: moved", True),
        (400, '{"error": {"code": 7}}', 'status 400: {"error": {"code": 7}}', False),
        (422, "a  \n b" + "c" * 400, f"status 422: a b{'c' * 297}…", False),
    ],
)
def test_a_request_that_is_refused_is_not_made_again(status: int, text: str, message: str, every_row: bool) -> None:
    with pytest.raises(RequestRefused) as raised:
        check_status(status, {}, text)
    assert (str(raised.value), raised.value.every_row) == (message, every_row)


@pytest.mark.parametrize("status", [100, 408, 409, 425, 429, 500, 502, 503, 529])
def test_a_request_that_has_failed_is_made_again(status: int) -> None:
    with pytest.raises(RequestFailed) as raised:
        check_status(status, {"Retry-After": "7"}, "busy")
    assert (str(raised.value), raised.value.headers) == (f"status {status}: busy", {"Retry-After": "7"})


@pytest.mark.parametrize("status", [200, 201])
def test_a_good_status(status: int) -> None:
    check_status(status, {}, "")


@pytest.mark.parametrize(
    ("answer", "finish", "message"),
    [
        ('{"a": "z"}', "stop", """not valid for 'schema': ['a']: "z" is not one of "x" or "y\""""),
        ("{}", "stop", """not valid for 'schema': "a" is a required property"""),
        ("```json", "stop", "no JSON: ```json"),
        ('{"a": ', "length", "no JSON; it is cut, so raise 'max_tokens': {\"a\":"),
        (None, "content_filter", "no JSON: it is empty"),
    ],
)
def test_an_answer_that_is_not_valid(answer: Any, finish: str, message: str) -> None:
    valid = validator_of(SCHEMA)
    check_answer('{"a": "x"}', "stop", valid)
    with pytest.raises(WrongAnswer) as raised:
        check_answer(answer, finish, valid)
    assert str(raised.value) == f"the answer is {message}"
