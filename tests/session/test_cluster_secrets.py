"""Tests of secrets, which do not travel to another machine in the open."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.session.cluster_run import _told_in_the_open, _with_secrets
from nfrun.system.logs.redaction import Redactor

SECRET = "s3cret-value"
PLAIN = NodeSpec("plain", "python", "m:f", (), {"n": 1}, (), (), {})
GIVEN = NodeSpec("given", "python", "m:f", (), {"nested": {"token": SECRET}}, (), (), {})
OWN = NodeSpec("own", "run", "true", (), {}, (), (), {"T": f"x-{SECRET}"}, redacted_env={"T": "x-***"})
CHECKED = NodeSpec("checked", "python", "m:f", (), {}, (), (), {}, files=(f"{SECRET}.txt",))


def secrets_of(*nodes: NodeSpec, **pipeline: Any) -> list[str]:
    setup: Any = SimpleNamespace(
        pipeline=Pipeline("p.yaml", "/", "p", "", {}, {}, {}, {}, **pipeline), redactor=Redactor([SECRET])
    )
    return _with_secrets(setup, list(nodes))


def test_secrets_are_found_in_all_that_is_sent() -> None:
    found = ["'env' of the file", "node 'given'", "node 'own'", "node 'checked'"]
    assert secrets_of(PLAIN, GIVEN, OWN, CHECKED, redacted_env={"A": "***"}) == found
    assert secrets_of(PLAIN) == []


@pytest.mark.parametrize("addresses", [["tcp://far:1"], ["tcp://127.0.0.1:1", "tcp://far:1"], ["", "tcp://far:1"]])
def test_neither_the_scheduler_nor_a_worker_may_get_them_in_the_open(addresses: list[str]) -> None:
    told = "node 'given' has a secret, and tcp://far:1 sends what it gets as plain text: use TLS (tls://)"
    assert _told_in_the_open(["node 'given'"], addresses) == (told,)
    assert _told_in_the_open([], addresses) == ()


def test_they_travel_on_this_machine_and_encrypted() -> None:
    assert _told_in_the_open(["node 'given'"], ["", "tcp://127.0.0.1:8786", "tls://far:8786", "tls://h:1"]) == ()
