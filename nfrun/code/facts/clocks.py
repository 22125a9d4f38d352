"""Finds where queries and Python code ask for the time, draw what nothing seeds, or use the local time zone.

What only measures or is logged does not count: a duration, a deadline, a line of a log. Reads texts and syntax trees;
runs nothing. `script_clocks.py` does the same for shell scripts.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence, Set
from functools import lru_cache

from nfrun.code.bindings import last_name
from nfrun.code.facts.code_facts import NO_FACTS, CodeFact, CodeFacts

# -- queries -----------------------------------------------------------------------------------------------------------

# Of DuckDB and, in texts of Python, of SQLite; `tests/facts/test_clocks.py` asks DuckDB which there are. `age` counts
# unless it has a second argument after a first one with few brackets.
_SQL_CLOCK = re.compile(
    r"""--[^\n]* | /\*.*?\*/ | "(?:[^"]|"")*" | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$
    | (?P<name>(?<![\w.$])(?<!\bas\s)(?:current_(?:date|time|timestamp)|localtime(?:stamp)?))\b
    | (?P<call>(?<![\w$])(?:(?:now|today|(?:get_)?current_\w+|transaction_timestamp|uuidv7)\s*\(\s*\)
      | (?:date|time|datetime|julianday|unixepoch|strftime)\s*\((?:[^(),]*,)?['\s]*now\b
      | age\s*\((?!(?:[^(),]|\([^()]*\))*,)))
    | '(?:[^']|'')*'""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_SQL_DRAW = re.compile(
    r"""\b(?P<call>random|(?:gen_random_)?uuid(?:v4)?)\s*\(\s*\) | \b(?:using\s+sample|tablesample)\s+
    (?>(?:[a-z]+\s*)?\(?\s*[\d.]+\s*(?:(?P<percent>%|percent\b)|rows\b)?\s*\)?)
    (?!\s*(?:\(\s*\w+\s*,|repeatable))""",
    re.IGNORECASE | re.VERBOSE,
)
_QUERY = re.compile(r"\b(?:select|insert|create|copy)\b", re.IGNORECASE)


def clocks_in_query(text: str) -> Iterator[str]:
    """Yield what a query asks for the time, such as "now()"."""
    if re.search(r"\bmacro\b", text, re.IGNORECASE):
        text = re.sub(r"\bas\s", "as  ", text, flags=re.IGNORECASE)  # what stands behind it is no alias
    for found in _SQL_CLOCK.finditer(text):
        if found["name"]:
            yield found["name"]
        elif call := found["call"]:
            yield f"{call.partition('(')[0].rstrip()}({'' if call.endswith(')') else '…'})"


def draws_in_query(text: str, *, seeded: bool = True) -> Iterator[str]:
    """Yield what a query draws without a seed. The seed of a connection (`seeded`) does not reach percentages."""
    for found in _SQL_DRAW.finditer(text):
        if not seeded or found["percent"]:
            yield f"{found['call']}()" if found["call"] else "a sample without a seed"


def is_query(text: str) -> bool:
    """Return whether a text of a program may be a query."""
    return _QUERY.search(text) is not None


# -- Python ------------------------------------------------------------------------------------------------------------

# Names as `Names.of` returns them, of libraries only: those of the project have a colon.
_CLOCK = re.compile(r"[\w.]+\.(?:now|utcnow|today|tomorrow|yesterday)|time\.(?:time|clock_gettime)(?:_ns)?")
_CLOCK_ALONE = re.compile(r"time\.(?:localtime|gmtime|ctime|asctime)")
_READS_NOW = re.compile(r"pandas\.(?:Timestamp|Period|to_datetime|\w*date_range)|numpy\.datetime64")
_DRAW = re.compile(r"uuid\.uuid[14678]|secrets\.(?!compare_digest)\w+|os\.(?:urandom|getrandom)|random\.SystemRandom")
_SEEDED = re.compile(r"random\.(?:Random|seed)|numpy\.random\.(?:seed|default_rng|[A-Z]\w+)")
_LOCAL = re.compile(
    r"time\.(?:localtime|mktime|ctime|strftime|timezone|altzone|daylight|tzname|tzset)|duckdb\..*"
    r"|.*\b(?:tzlocal|gettz)\b.*"
)
# With the number of arguments; "-" where it is handed on.
_LOCAL_CALL = re.compile(r"astimezone/.|timestamp/0|fromtimestamp/[-1]")
_LOGS = frozenset(["echo", "debug", "info", "warning", "warn", "error", "exception", "critical"])

_NAMES = re.compile(
    r"\b(?:now|utcnow|today|tomorrow|yesterday|\w*[tT]ime\w*|Period|\w*date_range|uuid\w*|secrets|\w*random|altzone"
    r"|daylight|tz\w+|gettz|duckdb)\b"
)  # one of these is in every use


@lru_cache(maxsize=10_000)
def may_be_timed(name: str) -> bool:
    """Return whether a use of this name may ask for the time, draw, or have something of the local time zone."""
    return _NAMES.search(name) is not None


class Times:
    """What one statement asks for the time, draws, and has of the local time zone.

    `StatementReader` gives it the names and texts in the statement.
    """

    def __init__(self) -> None:
        self._moments: dict[int, CodeFact] = {}  # by the id of the expression
        self._asked: list[CodeFact] = []
        self._drawn: list[CodeFact] = []
        self._local: list[CodeFact] = []

    def take_name(self, name: str, node: ast.expr, call: ast.Call | None, where: str) -> None:
        """Take the use of a name as `Names.of` returns it, "" if that is unknown, which `call` calls."""
        name, last = name.partition("[")[0], last_name(node)
        given = [*call.args, *(keyword.value for keyword in call.keywords)] if call else None
        fact = CodeFact(name or f".{last}", where)
        if _is_clock(name, given):
            self._moments[id(call or node)] = fact
        is_unseeded = given is not None and all(getattr(value, "value", value) is None for value in given)
        if _DRAW.fullmatch(name) or (is_unseeded and _SEEDED.fullmatch(name)):
            self._drawn.append(fact)
        count = "-" if given is None else len(given)
        if _LOCAL.fullmatch(name) or _LOCAL_CALL.fullmatch(f"{last}/{count}"):
            self._local.append(fact)

    def take_text(self, text: str, where: str) -> None:
        """Take a text that is no docstring."""
        if is_query(text):
            self._asked += [CodeFact(what, where) for what in clocks_in_query(text)]
            self._drawn += [CodeFact(what, where) for what in draws_in_query(text, seeded=False)]
        self._local += [CodeFact(text, where)] if text == "local" or "localtime" in text else []

    def of(self, body: ast.AST, *, prints: bool) -> CodeFacts:
        """Return the facts about the whole statement. `prints`: what goes to stdout is logged."""
        if not (self._moments or self._asked or self._drawn or self._local):
            return NO_FACTS
        harmless = _harmless([*ast.walk(body)], self._moments.keys(), prints=prints) if self._moments else ()
        asked = [*self._asked, *(fact for moment, fact in self._moments.items() if moment not in harmless)]
        return CodeFacts(clocks=asked, draws=self._drawn, local_time=self._local)


def _is_clock(name: str, given: Sequence[ast.expr] | None) -> bool:
    """Return whether a use of a name asks for the time. `given` are its arguments, None if it is not called."""
    if given is None or _CLOCK.fullmatch(name):
        return _CLOCK.fullmatch(name) is not None
    if _READS_NOW.fullmatch(name):
        return any(getattr(argument, "value", "") in ("now", "today") for argument in given)
    return (not given and _CLOCK_ALONE.fullmatch(name) is not None) or (name == "time.strftime" and len(given) < 2)


def _harmless(nodes: Sequence[ast.AST], moments: Set[int], *, prints: bool) -> Set[int]:
    """Return the ids of the expressions in which moments, or variables that have one, only measure or are logged.

    A moment measures where it is subtracted from another one or compared with it, at once or by its variable.
    """
    kept: dict[str, set[int]] = {}  # the moments that variables and attributes have
    for node in nodes:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                kept.setdefault(last_name(target), set()).update({*map(id, ast.walk(node.value))} & moments)
    kept = {name: found for name, found in kept.items() if name and found}
    harmless = set[int]()
    for node in nodes:
        sides = [node.left, node.right] if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) else []
        sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else sides
        measures = sides and all(
            any(id(part) in moments or last_name(part) in kept for part in ast.walk(side)) for side in sides
        )
        if measures or isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and _is_log(node, prints=prints)):
            harmless.update(map(id, ast.walk(node)))
    loads = [node for node in nodes if isinstance(getattr(node, "ctx", None), ast.Load)]
    unsafe = {last_name(node) for node in loads if id(node) not in harmless}
    safe = {last_name(node) for node in loads} - unsafe
    return harmless.union(*(found for name, found in kept.items() if name in safe))


def _is_log(call: ast.Call, *, prints: bool) -> bool:
    """Return whether a call logs or prints. `prints`: also to stdout, which is no log of a script."""
    name = last_name(call.func)
    if name.startswith(("print", "write")) and "stderr" in ast.unparse(call):
        return True
    return name in _LOGS or (prints and name == "print" and all(keyword.arg != "file" for keyword in call.keywords))
