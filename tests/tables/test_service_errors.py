"""Errors of object storage in words."""

from __future__ import annotations

import pytest

from nfrun.tables.places.objects import explained

GOOGLE = "google::cloud::Status(UNAVAILABLE: Retry policy exhausted, with a last message of "
CASES = {
    f"{GOOGLE}Could not create a OAuth2 access token to authenticate the request. …": "there are no credentials: set "
    "GOOGLE_APPLICATION_CREDENTIALS, or log in with gcloud",
    f"{GOOGLE}PerformWork() - CURL error [6]=Could not resolve hostname …": "the service cannot be reached",
    "When … in bucket 'b': AWS Error NETWORK_CONNECTION during HeadObject operation: curlCode: 7": "the service cannot "
    "be reached",
    "When …: AWS Error SLOW_DOWN during PutObject operation: Reduce your request\nrate.": "Reduce your request rate.",
    "anything else": "anything else",
}


@pytest.mark.parametrize("text", CASES, ids=range(len(CASES)))
def test_what_a_service_says_is_put_into_words(text: str) -> None:
    assert explained(OSError(text)) == CASES[text]


def test_secrets_of_the_environment_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "geheim")
    assert explained(OSError("the key geheim is wrong")) == "the key *** is wrong"
