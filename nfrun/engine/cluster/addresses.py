"""Tells addresses on this machine from others, and which of them hide what is sent there."""

from __future__ import annotations

import re


def is_local(address: str) -> bool:
    """Return whether an address is on this machine, as far as can be told; "" is that of a cluster of the run's own."""
    host = address.partition("://")[2].rpartition(":")[0].strip("[]")
    return not address or host in ("localhost", "::1") or bool(re.fullmatch(r"127(\.\d{1,3}){3}", host))


def is_private(address: str) -> bool:
    """Return whether nobody on the way can read what is sent to an address."""
    return address.startswith("tls://") or is_local(address)
