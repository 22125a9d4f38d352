"""Tests of secrets, which do not travel to another machine in the open."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nfrun.cli.cluster_run import _secrets_in_the_open
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.logs.redaction import Redactor

FAR = "tcp://far:8786"
PLAIN = NodeSpec("plain", "python", "m:f", (), {"n": 1}, (), (), {})
GIVEN = NodeSpec("given", "python", "m:f", (), {"nested": {"token": "s3cret-value"}}, (), (), {})
OWN = NodeSpec("own", "run", "true", (), {}, (), (), {"T": "x-s3cret-value"}, redacted_env={"T": "x-***"})


def told(address: str, *nodes: NodeSpec, **pipeline: Any) -> tuple[str, ...]:
    setup: Any = SimpleNamespace(
        pipeline=Pipeline("p.yaml", "/", "p", "", {}, {}, {}, {}, **pipeline), redactor=Redactor(["s3cret-value"])
    )
    return _secrets_in_the_open(setup, list(nodes), address)


def test_each_place_of_a_secret_is_told() -> None:
    why = "and tcp://far:8786 sends what it gets as plain text: use TLS (tls://)"
    assert told(FAR, PLAIN, GIVEN, OWN, redacted_env={"A": "***"}) == (
        f"'env' of the file has a secret, {why}",
        f"node 'given' has a secret, {why}",
        f"node 'own' has a secret, {why}",
    )


@pytest.mark.parametrize("address", ["", "tcp://127.0.0.1:8786", "tls://far:8786"])
def test_secrets_travel_on_this_machine_and_encrypted(address: str) -> None:
    assert told(address, GIVEN, OWN, redacted_env={"A": "***"}) == ()


def test_nodes_that_stay_here_may_have_secrets() -> None:
    assert told(FAR, PLAIN) == ()
