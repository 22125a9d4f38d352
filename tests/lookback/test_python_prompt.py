"""The prompt of `nfrun shell` on a terminal."""

from __future__ import annotations

import io
import sys
from types import ModuleType
from typing import Any

import pytest

from nfrun.lookback.reopen.node_shell import run_prompt


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_ipython_is_used_if_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    module = ModuleType("IPython")
    vars(module)["start_ipython"] = lambda **given: calls.append(given)
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setattr(sys, "stdin", Terminal())
    said: list[str] = []
    names = {"n": 1}
    assert run_prompt(names, "banner", said.append) == 0
    assert said == ["banner"]
    assert calls[0]["user_ns"] is names


@pytest.mark.parametrize(("end", "code", "message"), [(None, 0, []), (3, 3, []), ("bye", 1, ["bye"])])
def test_the_exit_code_is_that_of_the_session(
    monkeypatch: pytest.MonkeyPatch, end: object, code: int, message: list[str]
) -> None:
    def leave(**given: Any) -> None:
        raise SystemExit(end)

    module = ModuleType("IPython")
    vars(module)["start_ipython"] = leave
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setattr(sys, "stdin", Terminal())
    said: list[str] = []
    assert run_prompt({}, "banner", said.append) == code
    assert said[1:] == message
