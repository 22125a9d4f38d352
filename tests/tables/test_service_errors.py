"""Errors of object storage in words."""

from __future__ import annotations

import pytest

from nfrun.tables.places.objects import explained

CASES = {
    "google::cloud::Status(UNAVAILABLE: Retry policy exhausted)": "google::cloud::Status(UNAVAILABLE: Retry policy "
    "exhausted)",
    "When … in bucket 'b': AWS Error SLOW_DOWN during PutObject operation: Reduce your request\nrate.": "AWS Error "
    "SLOW_DOWN during PutObject operation: Reduce your request rate.",
    "anything else": "anything else",
}


@pytest.mark.parametrize("text", CASES, ids=range(len(CASES)))
def test_what_a_service_says_is_put_into_words(text: str) -> None:
    assert explained(OSError(text)) == CASES[text]


def test_secrets_of_the_environment_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "geheim")
    assert explained(OSError("the key geheim is wrong")) == "the key *** is wrong"
