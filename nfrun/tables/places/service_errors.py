"""Puts errors of object storage into words, without what should be secret."""

from __future__ import annotations

import os
import re

from nfrun.system.os_errors import reason

_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_KEY")
_KEYS = "check the keys in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
_AWS = re.compile(r"AWS Error ([A-Z_]+)[^:]*: *(.*)", re.DOTALL)
_EXPLAINED = {
    "NO_SUCH_BUCKET": "there is no such bucket",
    "ACCESS_DENIED": f"access is denied: {_KEYS}, and what they may do there",
    "INVALID_ACCESS_KEY_ID": f"the service does not know the key: {_KEYS}",
    "SIGNATURE_DOES_NOT_MATCH": f"the secret key is wrong: {_KEYS}",
    "INVALID_CLIENT_TOKEN_ID": f"the service does not know the key: {_KEYS}",
    "UNRECOGNIZED_CLIENT": f"the service does not know the key: {_KEYS}",
    "NETWORK_CONNECTION": "the service cannot be reached",
}
_GOOGLE = {
    "OAuth2 access token": "there are no credentials: set GOOGLE_APPLICATION_CREDENTIALS, or log in with gcloud",
    "CURL error": "the service cannot be reached",
}
_LONGEST = 300  # characters


def explained(error: BaseException) -> str:
    """Return what is wrong, for people."""
    if isinstance(error, OSError) and error.errno and error.strerror and "AWS Error" not in str(error):
        return reason(error)
    if "google::cloud" in str(error):
        for what, why in _GOOGLE.items():
            if what in str(error):
                return why
    found = _AWS.search(str(error))
    if found is not None and found[1] in _EXPLAINED:
        return _EXPLAINED[found[1]]
    text = " ".join((found[2] or found[1] if found is not None else str(error)).split())
    for value in filter(None, map(os.environ.get, _SECRETS)):
        text = text.replace(value, "***")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
