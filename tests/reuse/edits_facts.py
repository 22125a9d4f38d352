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
TWO = "nodes:\n  a: {python: 'steps:a'}\n  b: {python: 'steps:b', needs: [a]}\n"


def shared(name: str, steps: str, again: str, reason: str = "", pipeline: str = TWO, **more: str) -> Edit:
    """Return the row of two nodes, of which those in `again` run again although nothing has changed."""
    files = {"p.yaml": pipeline, "steps.py": steps, **{f"{module}.py": text for module, text in more.items()}}
    return Edit(name=name, files=files, runs_again=frozenset(again), reason=reason)


SHARED = [
    shared(
        "a variable that another node assigns",
        "N = 0\ndef a():\n  global N\n  N = 1\n  return {'a': 1}\ndef b(): return {'b': N}",
        "b",
        "it reads N (steps.py:6), which 'a' assigns (steps.py:4)",
    ),
    shared(
        "a list that another node appends to",
        "ALL = []\ndef a():\n  ALL.append(1)\n  return {'a': 1}\ndef b(): return {'b': len(ALL)}",
        "b",
        "it reads ALL (steps.py:5), which 'a' assigns (steps.py:3)",
    ),
    shared(
        "a list that both append to and read",
        "ALL = []\ndef g():\n  ALL.append(1)\n  return {'n': len(ALL)}\ndef a(): return g()\ndef b(): return g()",
        "ab",
        "it reads ALL (steps.py:4), which 'b' assigns (steps.py:3)",
    ),
    shared(
        "a variable of another module",
        "import state\ndef a():\n  state.N = 1\n  return {'a': 1}\ndef b(): return {'b': state.get()}",
        "b",
        "it reads N (state.py:2), which 'a' assigns (steps.py:3)",
        state="N = 0\ndef get(): return N",
    ),
    shared(
        "a variable that only its own node changes",
        "ALL = []\ndef a():\n  ALL.append(1)\n  return {'a': len(ALL)}\ndef b(): return {'b': 1}",
        "",
    ),
    shared(
        "results that functools keeps",
        "import functools\n@functools.cache\ndef g(): return {'n': 1}\ndef a(): return g()\ndef b(): return g()",
        "",
    ),
    shared(
        "a variable that another node assigns, with 'cache: true'",
        "N = 0\ndef a():\n  global N\n  N = 1\n  return {'a': 1}\ndef b(): return {'b': N}",
        "",
        pipeline=TWO.replace("needs: [a]", "needs: [a], cache: true"),
    ),
]
ROWS = [*CONNECTING, *QUIET, *SHARED]
