"""The kind `ai.chat`: asks a language model for each row, with one request of the chat completions of OpenAI.

Budgets, retries, timeouts, reuse and rows that fail are those of the node and its `map`. What is here is the request,
and what the response means.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nfrun import Job, NodeError, NoRetry, filled_in

if TYPE_CHECKING:
    import httpx
    import pyarrow as pa

KEY = "API_KEY"  # the variable with the key, if `env` names it
_CONNECT_SECONDS, _MOST_SECONDS = 10.0, 600.0  # for an answer where the node has no timeout
_MOST_IDLE = 100  # connections that are kept
_MOST_SHOWN = 300  # characters of a response, in a message
_PASSING = (408, 409, 425, 429)  # what another request may not get
_FOR_ALL_ROWS = (401, 403, 404)  # a wrong key, no rights, no such model or address


class WrongValue(NodeError, NoRetry):
    """A value under `with`, or of the row, cannot be used."""

    def __init__(self, message: str, *, every_row: bool = True) -> None:
        NodeError.__init__(self, message)
        self.every_row = every_row


class RequestRefused(WrongValue):
    """The endpoint refuses the request, and would do so again: a status of 3xx or 4xx."""


class RequestFailed(NodeError):
    """The endpoint has failed, is busy, or cannot be reached. nfrun reads Retry-After in the `headers`."""

    def __init__(self, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.headers = headers


class NoCompletion(NodeError):
    """The response is no chat completion."""


class WrongAnswer(NodeError):
    """The answer is not valid for the schema."""


class Calls:
    """Makes the requests of a node, over connections that they share. Raises WrongValue for wrong values."""

    def __init__(self, job: Job) -> None:
        import httpx  # it takes 0.1 s

        values, headers = job.node.values, header_of(job.env.get(KEY, ""))
        price_of(values)
        self._valid = validator_of(values.get("schema"))
        self._url = f"{values['url'].rstrip('/')}/chat/completions"
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(_MOST_SECONDS, connect=_CONNECT_SECONDS, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=_MOST_IDLE),
        )

    async def __call__(self, job: Job, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the new columns of a row. Raises the errors of this module."""
        try:
            request = request_of(job.node.values, row)
        except ValueError as error:  # null, or no text
            raise WrongValue(str(error), every_row=False) from None
        began = time.perf_counter()
        response = await self._post(request)
        seconds = time.perf_counter() - began
        check_status(response.status_code, response.headers, response.text)
        found = read_completion(response.text)
        if self._valid is not None:
            check_answer(found["answer"], found["finish"], self._valid)
        return {**found, "seconds": round(seconds, 4), "attempts": job.attempt}

    async def close(self) -> None:
        await self._client.aclose()

    async def _post(self, request: Mapping[str, Any]) -> httpx.Response:
        import httpx

        try:
            return await self._client.post(self._url, json=request)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise WrongValue(f"'url' cannot be used: {error}") from None
        except httpx.RequestError as error:
            raise RequestFailed(f"no response from {self._url}: {_reason(error)}") from None


def after(values: Mapping[str, Any], rows: pa.Table) -> pa.Table:
    """Return the rows with `dollars`, which are null without prices, and where the endpoint tells no tokens."""
    import pyarrow as pa
    import pyarrow.compute as pc

    price = price_of(values)
    if "tokens_in" not in rows.column_names:  # no call has given anything
        return rows
    if price is None:
        dollars = pa.nulls(len(rows), pa.float64())
    else:
        asked, told = (rows[name].cast(pa.float64()) for name in ("tokens_in", "tokens_out"))
        dollars = pc.divide(pc.add(pc.multiply(asked, price["input"]), pc.multiply(told, price["output"])), 1e6)
    return (rows.drop_columns("dollars") if "dollars" in rows.column_names else rows).append_column("dollars", dollars)


def header_of(key: str) -> dict[str, str]:
    """Return the header with a key, none without. Raises WrongValue, which does not show the key."""
    if not (key.strip().isascii() and key.strip().isprintable()):
        raise WrongValue(f"the key in {KEY} has characters that no key has: is there something else in the variable?")
    return {"Authorization": f"Bearer {key.strip()}"} if key.strip() else {}


def price_of(values: Mapping[str, Any]) -> Mapping[str, float] | None:
    """Return the prices of the model, None if no prices are given. Raises WrongValue if others are."""
    prices, model = values.get("prices"), values["model"]
    if prices is None:
        return None
    if model not in prices:
        raise WrongValue(f"'prices' has none for the model '{model}'; it has {', '.join(prices)}")
    found: Mapping[str, float] = prices[model]
    return found


def request_of(values: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of the request for a row. Raises ValueError for a column that is null."""
    messages = values["messages"]
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    request = {"model": values["model"], "messages": filled_in(messages, row), **values.get("options", {})}
    request |= {name: values[name] for name in ("temperature", "max_tokens") if name in values}
    if schema := values.get("schema"):
        named = {"name": "answer", "strict": True, "schema": schema}
        request["response_format"] = {"type": "json_schema", "json_schema": named}
    return request


def read_completion(text: str) -> dict[str, Any]:
    """Return `answer`, `finish`, `tokens_in` and `tokens_out` of a response. Raises NoCompletion."""
    try:
        found = json.loads(text)
        choice, usage = found["choices"][0], found.get("usage") or {}
        answer, finish = choice["message"].get("content"), choice.get("finish_reason")
        tokens = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise NoCompletion(f"the response is no chat completion: {_shown(text)}") from None
    if not all(isinstance(text, str | None) for text in (answer, finish)) or not all(
        isinstance(count, int | None) for count in tokens
    ):
        raise NoCompletion(f"the response is no chat completion: {_shown(text)}")
    return {"answer": answer, "finish": finish, "tokens_in": tokens[0], "tokens_out": tokens[1]}


def check_status(status: int, headers: Mapping[str, str], text: str) -> None:
    """Raise RequestRefused or RequestFailed for a response without a completion."""
    if 200 <= status < 300:
        return
    told = f"status {status}: {_told(text)}"
    if 300 <= status < 500 and status not in _PASSING:
        raise RequestRefused(told, every_row=status < 400 or status in _FOR_ALL_ROWS)
    raise RequestFailed(told, headers)


def validator_of(schema: Mapping[str, Any] | None) -> Any:
    """Return what validates answers, None without a schema. Raises WrongValue for a schema that is none."""
    if schema is None:
        return None
    import jsonschema_rs

    try:
        return jsonschema_rs.Draft202012Validator(dict(schema))
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise WrongValue(f"'schema' is no JSON Schema: {str(error).splitlines()[0]}") from None


def check_answer(answer: str | None, finish: str | None, valid: Any) -> None:
    """Raise WrongAnswer for an answer that is no JSON, or not valid."""
    how = "; it is cut, so raise 'max_tokens'" if finish == "length" else ""
    try:
        found = json.loads(answer or "")
    except (ValueError, RecursionError):
        raise WrongAnswer(f"the answer is no JSON{how}: {_shown(answer or '')}") from None
    for error in valid.iter_errors(found):
        place = "".join(f"[{step!r}]" for step in error.instance_path)
        raise WrongAnswer(f"the answer is not valid for 'schema': {place and f'{place}: '}{error.message}{how}")


def _told(text: str) -> str:
    """Return what a response says is wrong, as OpenAI does it, or the response."""
    try:
        found = json.loads(text)["error"]
        message = found["message"] if isinstance(found, dict) else found
    except (ValueError, LookupError, TypeError, RecursionError):
        message = text
    return _shown(message if isinstance(message, str) else text)


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return f"{text[:_MOST_SHOWN]}…" if len(text) > _MOST_SHOWN else text or "it is empty"


def _reason(error: BaseException) -> str:
    """Return why a request got no response: what the system says, if that is behind the error."""
    step: BaseException | None = error
    while step is not None:
        if isinstance(step, ConnectionError) and step.errno:  # asyncio has other texts
            return os.strerror(step.errno)
        if isinstance(step, OSError) and step.strerror:
            return step.strerror
        step = step.__cause__ or step.__context__
    return str(error) or type(error).__name__
