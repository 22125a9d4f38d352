"""Finds addresses of hosts in texts, and names of packages that connect to hosts unseen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from nfrun.code.facts.code_facts import CodeFact

# NUL, a closing brace and `%s` stand for a scheme that is computed.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*|[}\0]|%s)://(?:[^\s/?#'\"\0]*@)?([^\s/?#'\"\0@{}%,;()<>$]*)")
# Packages that connect without Python's sockets, so that no audit hook sees it; the same in DuckDB.
_CLIENTS = r"grpc|psycopg|psycopg2|pyodbc|oracledb|connectorx|adbc_\w+"
_CLIENT = re.compile(rf"({_CLIENTS})(?:\..*)?|(pyarrow\.fs\.(?:S3|Gcs|Hadoop|AzureFile)\w+).*")
_EXTENSION = re.compile(
    r"\b(?:install|load)\s+'?(httpfs|postgres\w*|mysql\w*|azure|aws|iceberg|delta|ducklake)\b"
    r"|\btype\s+(postgres|mysql)\b",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"^\s*(?:#|--).*$", re.MULTILINE)


def hosts_in(text: str) -> Iterator[str]:
    """Yield the host of each address in a text, `https://` if it is computed. NUL stands for a computed part."""
    for match in _URL.finditer(text) if "://" in text else ():
        if match[1].lower() != "file":
            yield match[2] or f"{match[1] if match[1][0].isalpha() else ''}://"


@lru_cache(maxsize=10_000)
def client_of(name: str) -> str:
    """Return the package of a name if that package connects unseen, else ""."""
    found = _CLIENT.fullmatch(name)
    return (found[1] or found[2]) if found else ""


def network_of_text(text: str, values: Iterable[str], where: str) -> list[CodeFact]:
    """Return the hosts and clients that a script, a query or the values given to it name. Comments do not count."""
    code = _COMMENT.sub("", text)
    hosts = [host for part in (code, *values) for host in hosts_in(part)]
    clients = [match[1] or match[2] for match in _EXTENSION.finditer(code)]
    return [*(CodeFact(host, where) for host in hosts), *(CodeFact(name, where, is_client=True) for name in clients)]
