"""Finds where code asks for the time, for the local time zone, or draws what nothing seeds.

What only measures or is logged does not count: a duration, a deadline, a line of a log. Reads texts and syntax trees;
runs nothing. `script_clocks.py` does the same for shell scripts.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Set

from nfrun.facts.names import pattern_of

# -- queries -----------------------------------------------------------------------------------------------------------

_NESTED = r"[^()]*"
for _ in range(3):
    _NESTED = rf"[^()]*(?:\({_NESTED}\)[^()]*)*"
# Functions of DuckDB and, in texts of Python, of SQLite; `tests/facts/test_clocks.py` asks DuckDB which there are.
_SQL_CLOCK = re.compile(
    rf"""--[^\n]* | /\*.*?\*/ | "(?:[^"]|"")*" | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$
    | (?<![\w.$])(?P<clock> (?<!\bas\s)(?:current_(?:date|time|timestamp)|localtime(?:stamp)?)\b(?!\s*\.)
      | (?:now|today|get_current_time(?:stamp)?|current_local(?:time|timestamp)|transaction_timestamp|uuidv7)\s*\(\s*\)
      | (?:date|time|datetime|julianday|unixepoch|strftime)\s*\((?:'[^']*',\s*)?'now'
      | age\s*\((?=[^(),]*(?:\({_NESTED}\)[^(),]*)*\)) )
    | (?<=\.)(?P<method>age\s*\(\s*\)) | '(?:[^']|'')*'""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_QUERY = re.compile(r"\b(?:select|insert|create|copy|with)\b", re.IGNORECASE)
# DuckDB's seed does not reach a sample of a percentage, unless it is one of a reservoir.
_SAMPLE = re.compile(
    r"\b(?:using\s+sample|tablesample)\s+(?!reservoir)(?:\w+\s*\(\s*)?[\d.]+\s*(?:%|percent\b)\s*+\)?+\s*+"
    r"(?!\(\s*(?:\w+\s*,|reservoir)|repeatable)",
    re.IGNORECASE,
)


def clocks_in_query(text: str) -> Iterator[str]:
    """Yield what a query asks for the time, such as "now()"."""
    for found in _SQL_CLOCK.finditer(text):
        if clock := found["clock"] or found["method"]:
            name = clock.partition("(")[0].rstrip()
            yield name if name == clock else f"{name}({'' if clock.endswith(')') else '…'})"


def draws_in_query(text: str) -> Iterator[str]:
    """Yield what a query draws without a seed."""
    if _SAMPLE.search(text):
        yield "a sample of a percentage without a seed"


def clocks_in_text(text: str) -> Iterator[str]:
    """Yield what a text of a program asks for the time, if it may be a query."""
    if _QUERY.search(text):
        yield from clocks_in_query(text)


# -- Python ------------------------------------------------------------------------------------------------------------

# Names as `Names.of` returns them, of libraries only: those of the project have a colon.
_NOW = re.compile(r"[\w.]+\.(?:now|utcnow|today|tomorrow|yesterday)")
_SECONDS = ("time.time", "time.time_ns")  # most code measures with them
_OF_NOW = {"time.strftime": 1, "email.utils.formatdate": 0} | dict.fromkeys(
    ("time.localtime", "time.gmtime", "time.ctime", "time.asctime", "email.utils.localtime"), 0
)  # with at most so many arguments
_READS_NOW = re.compile(r"pandas\.(?:Timestamp|Period|to_datetime|\w*date_range)|numpy\.datetime64")
_DRAWS = re.compile(
    pattern_of(
        {
            "uuid": "uuid[14678]",
            "secrets": r"(?!compare_digest)\w+",
            "os": "urandom getrandom",
            "random": "SystemRandom",
        }
    )
)
_SEEDED = re.compile(
    pattern_of(
        {
            "random": "Random seed",
            "numpy.random": "seed default_rng RandomState SeedSequence PCG64 PCG64DXSM MT19937 Philox SFC64",
        }
    )
)
_LOCAL = re.compile(
    pattern_of(
        {
            "time": "localtime mktime ctime strftime timezone altzone daylight tzname tzset",
            "dateutil.tz": "tzlocal gettz",
            "tzlocal": ".*",
            "pendulum": r"local\w*",
            "email.utils": "localtime formatdate",
            "duckdb": ".*",
            "*": "fromtimestamp",
            "": "astimezone timestamp fromtimestamp",
        }
    )
)
_LOGS = frozenset(["echo", "debug", "info", "warning", "warn", "error", "exception", "critical", "log"])
WORDS = (
    r"now|utcnow|today|tomorrow|yesterday|time_ns|\w*time|strftime|formatdate|Timestamp|Period|\w*date_range|datetime64"
    r"|uuid\w*|secrets|urandom|getrandom|\w*Random|seed|default_rng|RandomState|SeedSequence|PCG64\w*|MT19937|Philox"
    r"|SFC64|timezone|altzone|daylight|tzname|tzset|tzlocal|gettz|local\w*|duckdb|\w*timestamp|astimezone|current_date|age"
)  # one of these is in every use, if no import gives it another name


def is_suspect(name: str) -> bool:
    """Return whether a use of this imported name may ask for the time or draw."""
    known = (_NOW, _READS_NOW, _DRAWS, _SEEDED, _LOCAL)
    return name in (*_SECONDS, *_OF_NOW, "secrets") or any(of.fullmatch(name) for of in known)


def is_clock(name: str, call: ast.Call | None) -> bool:
    """Return whether a use of a name asks for the time. `call` is the call if the name is called."""
    if _NOW.fullmatch(name):
        return True
    if call is None:
        return False
    if _READS_NOW.fullmatch(name):
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        return any(isinstance(value, ast.Constant) and value.value in ("now", "today") for value in given)
    return is_seconds(name) or len(call.args) + len(call.keywords) <= _OF_NOW.get(name, -1)


def is_seconds(name: str) -> bool:
    """Return whether a function returns the time as seconds, with which most code measures."""
    return name in _SECONDS


def is_unseeded(name: str, call: ast.Call | None) -> bool:
    """Return whether a use of a name draws from the randomness of the system."""
    if call is None or not _SEEDED.fullmatch(name):
        return _DRAWS.fullmatch(name) is not None
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    return all(isinstance(value, ast.Constant) and value.value is None for value in given)


def is_local(name: str, call: ast.Call | None) -> bool:
    """Return whether a use of a name, or of a method (".astimezone"), depends on the local time zone."""
    if not _LOCAL.fullmatch(name):
        return False
    given = 0 if call is None else len(call.args) + len(call.keywords)
    return not (name.endswith("fromtimestamp") and given > 1) and not (name == ".timestamp" and (given or call is None))


def is_local_text(text: str) -> bool:
    """Return whether a text of a program names the local time zone, as in `to("local")` and in SQLite."""
    return text == "local" or "localtime" in text


def only_measured(body: ast.AST, moments: Set[int], seconds: Set[int], *, prints: bool = True) -> Set[int]:
    """Return which of the `moments`, ids of expressions that ask for the time in `body`, only measure or are logged.

    A moment measures where it is subtracted from another one or compared with it, at once or by the variable that has
    it. If one of the `seconds` is, all of them do. `prints`: what goes to stdout is logged.
    """
    marks: dict[str, set[int]] = {}  # the moments that variables and attributes have
    for node in ast.walk(body):
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) else None
        found = {id(part) for part in ast.walk(value) if id(part) in moments} if value is not None else set()
        if found and value is not None and not any(isinstance(part, ast.Sub) for part in ast.walk(value)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]  # type: ignore[attr-defined]
            for target in targets:
                marks.setdefault(_last_name(target), set()).update(found)

    def is_moment(node: ast.AST) -> bool:
        return any(id(part) in moments or _last_name(part) in marks for part in ast.walk(node))

    harmless, measured = set[int](), set[int]()
    for node in ast.walk(body):
        compared = [node.left, node.right] if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) else []
        compared = [node.left, *node.comparators] if isinstance(node, ast.Compare) else compared
        if compared and all(map(is_moment, compared)):
            measured.update(map(id, ast.walk(node)))
        elif isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and _is_log(node, prints=prints)):
            harmless.update(map(id, ast.walk(node)))
    harmless |= measured
    uses: dict[str, bool] = {}
    for node in ast.walk(body):
        if isinstance(getattr(node, "ctx", None), ast.Load) and (name := _last_name(node)) in marks:
            uses[name] = uses.get(name, True) and id(node) in harmless
    kept = set[int]().union(*(marks[name] for name, is_harmless in uses.items() if is_harmless))
    return (moments & (harmless | kept)) | (seconds if seconds & (measured | kept) else set())


def _is_log(call: ast.Call, *, prints: bool) -> bool:
    """Return whether a call logs or prints. `prints`: also to stdout, which is no log of a script."""
    logs, name = ("stdout", "stderr") if prints else ("stderr",), _last_name(call.func)
    if name == "print":
        to = [_last_name(keyword.value) for keyword in call.keywords if keyword.arg == "file"]
        return all(name in logs for name in to) if to else prints
    return name in _LOGS or (name.startswith("write") and _last_name(getattr(call.func, "value", call)) in logs)


def _last_name(node: ast.AST) -> str:
    return str(getattr(node, "attr", "") or getattr(node, "id", ""))
