"""What the code shows about reuse: nodes that run again although nothing has changed, and nodes that do not."""

from __future__ import annotations

from edit import Edit

ADDRESS = "it has the address of api.example.com (steps.py:%d)"


def unchanged(name: str, steps: str, *, runs_again: bool, reason: str = "", **more: str) -> Edit:
    return Edit(name=name, files={"steps.py": steps, **more}, runs_again=runs_again, reason=reason)


CONNECTING = [
    unchanged(
        "a URL in the function",
        "def f():\n  url = 'https://api.example.com/v1'\n  return {'a': url}",
        runs_again=True,
        reason=ADDRESS % 2,
    ),
    unchanged(
        "a URL in a constant that the function reads",
        "URL = 'https://user:pass@api.example.com:8443/v1'\ndef f(): return {'a': URL}",
        runs_again=True,
        reason="it has the address of api.example.com:8443 (steps.py:1)",
    ),
    unchanged(
        "a URL with a computed path",
        "def f(n=1): return {'a': f'https://api.example.com/{n}'}",
        runs_again=True,
        reason=ADDRESS % 1,
    ),
    unchanged(
        "a URL with a computed host",
        "def f(n=1): return {'a': f'https://{n}/v1'}",
        runs_again=True,
        reason="it has the address of https:// (steps.py:1)",
    ),
    unchanged(
        "the address of a database", "def f(): return {'a': 'postgresql://db/x'}", runs_again=True, reason="of db "
    ),
    unchanged("an address of a bucket", "def f(): return {'a': 's3://bucket/x'}", runs_again=True, reason="of bucket "),
    unchanged(
        "a client that connects unseen",
        "def f():\n  return {'a': getattr(g, '__name__', '')}\ndef g():\n  import psycopg as p\n  return p.connect()",
        runs_again=True,
        reason="it uses psycopg, whose connections nfrun cannot see (steps.py:5)",
    ),
]
QUIET = [
    unchanged("a URL in a docstring", "def f():\n  'See https://example.com.'\n  return {'a': 1}", runs_again=False),
    unchanged("a URL in a comment", "def f():\n  return {'a': 1}  # https://example.com", runs_again=False),
    unchanged("the address of a file", "def f(): return {'a': 'file:///x'}", runs_again=False),
    unchanged(
        "a URL that the function does not reach", "URL = 'https://x'\ndef f(): return {'a': 1}", runs_again=False
    ),
    unchanged("two slashes", "def f(): return {'a': '://' in 'x'}", runs_again=False),
    Edit(
        name="a URL in a node with 'cache: true'",
        files={
            "steps.py": "def f(): return {'a': 'https://api.example.com'}",
            "p.yaml": "nodes:\n  node: {python: 'steps:f', cache: true}\n",
        },
        runs_again=False,
    ),
]
ROWS = [*CONNECTING, *QUIET]
