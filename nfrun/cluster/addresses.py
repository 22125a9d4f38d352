"""Tells whether the address of a cluster is on this machine, and whether connections to it are encrypted."""

from __future__ import annotations

import re


def is_local(address: str) -> bool:
    """Return whether an address is on this machine, as far as can be told; "" is that of a cluster of the run's own."""
    host = address.partition("://")[2].rpartition(":")[0].strip("[]")
    return not address or host in ("localhost", "::1") or bool(re.fullmatch(r"127(\.\d{1,3}){3}", host))


def is_private(address: str) -> bool:
    """Return whether what is sent to an address is encrypted or stays on this machine."""
    return address.startswith("tls://") or is_local(address)
