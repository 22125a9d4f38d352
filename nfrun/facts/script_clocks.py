"""Finds where shell scripts, and Python scripts that they start, ask for the time or draw what nothing seeds."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nfrun.core.values import replace
from nfrun.facts import clocks
from nfrun.facts.code_facts import NO_FACTS, CodeFact, CodeFacts

_COMMENT = re.compile(r"(?:^|(?<=\s))#[^\n]*")
_WORDS = r"(?:[^;|&()`\n\"']|\"[^\"\n]*\"|'[^'\n]*')*"
_DATE = re.compile(
    rf"(?:^|[;|&(`{{!]|\b(?:then|do|else|exec|env|sudo|command)\b)[ \t]*(?:\w+=\S*\s+)*"
    rf"(?P<date>(?:/usr)?(?:/bin/)?g?date\b(?![\w.=,/-]))(?P<words>{_WORDS})",
    re.MULTILINE,
)
_GIVEN_DATE = re.compile(r"(?:^|\s)(?:-\w*d|--date)[\s=]*(?=\S)(?P<date>.*)")  # of `date -d`
_NO_CLOCK = re.compile(r"(?:^|\s)(?:-r|--reference|-j|-s|--set|-f|--file|--version|--help)\b")
_KEPT_SECONDS = re.compile(r"(\w+)=[\"']?(?:\$\(|`)\s*date\b[^)`]*%s")
_CLOCKS = re.compile(
    r"printf\s+(?:-v\s+\w+\s+)?(?P<printf>['\"]?[^'\"\n]*%\([^)\n]*\)T)"
    r"|find\s[^\n;|]*(?P<find>-(?:[acm](?:time|min)|newer\wt)\b)"
    r"|(?P<call>\b(?:systime\(\)|strftime\([^(),]*\)|Date\.now\(\)|new Date\(\)|Sys\.(?:time|Date)\(\)|Time\.now\b))"
    r"|\$\(?\(?\{?(?P<epoch>EPOCH(?:SECONDS|REALTIME)\b)(?!\s*-\s*\$?\{?[A-Za-z_])"
)
_DRAWS = re.compile(
    r"(?P<variable>\$\{?S?RANDOM\b)|(?P<file>/dev/u?random|random/uuid)|\b(?P<command>uuidgen|shuf\b(?![^\n]*--random-s)"
    r"|sort\s+(?:-\w+\s+)*-\w*R|openssl\s+rand)\b"
)
_LOCAL = re.compile(r"\bdate\b|\bTZ\b|localtime|strftime|mktime|\bls\s+-\w*l|\bstat\b")
_PYTHON = re.compile(
    r"python[\d.]*\b[^\n]*<<-?\s*['\"]?(\w+)['\"]?[^\n]*\n(?P<here>.*?)^\s*\1\s*$"
    r"|python[\d.]*\s+(?:-\w\s+)*-c\s+(?:'(?P<single>[^']*)'|\"(?P<double>(?:[^\"\\]|\\.)*)\")",
    re.DOTALL | re.MULTILINE,
)
_PRINTS = re.compile(r"\s*(?:(?:then|do|else)\s+)?(?:echo|printf|logger|log|info|warn|error|say)\b")
_REDIRECT = re.compile(r"(\d?)(>>?)\s*(\S+)")
_REDIRECTED_BLOCK = re.compile(
    r"(?:^|[\s;])(?:\}|\)|done|fi|esac)\s*(?:1?>(?!&2|\s*/dev/)|\|(?!\|))|\bexec\s+1?>(?!&2)", re.MULTILINE
)


def time_in_script(text: str, where: str, *, prints: bool = False) -> CodeFacts:
    """Return what a shell script asks for the time, draws, and has of the local time zone.

    `prints`: its stdout is a log, and not read by what has started it.
    """
    text = _COMMENT.sub("", text)
    others = (found for found in _CLOCKS.finditer(text) if not _is_log(text, found, prints))
    asked = [
        *_dates(text, prints),
        *(found[str(found.lastgroup)] for found in others),
        *clocks.clocks_in_text(re.sub("['\"]", " ", text)),
    ]
    drawn = [found[0] for found in _DRAWS.finditer(text) if "sleep" not in _line(text, found.start())]
    facts = CodeFacts(
        clocks=[CodeFact(what, where) for what in asked],
        draws=[CodeFact(what, where) for what in drawn],
        local_time=[CodeFact(found[0], where) for found in _LOCAL.finditer(text)],
    )
    for found in _PYTHON.finditer(text):
        facts = with_time(facts, time_in_source(found["here"] or found["single"] or found["double"] or "", where))
    return facts


def with_time(facts: CodeFacts, more: CodeFacts) -> CodeFacts:
    """Return the facts with what others tell of the time."""
    return replace(
        facts,
        clocks=[*facts.clocks, *more.clocks],
        draws=[*facts.draws, *more.draws],
        local_time=[*facts.local_time, *more.local_time],
    )


def _dates(text: str, prints: bool) -> Iterator[str]:
    """Yield the calls of `date` that tell the time for more than a log or a duration."""
    variables = _KEPT_SECONDS.findall(text)
    measures = any(re.search(rf"-\s*[\"']?\$?\{{?{name}\b", text) for name in variables)
    for found in _DATE.finditer(text):
        words = found["words"]
        given = _GIVEN_DATE.search(words)
        if _NO_CLOCK.search(words) or (given and re.search(r"[$`@]|\d{4}", given["date"])):
            continue
        if not (measures and "%s" in words) and not _is_log(text, found, prints):
            yield "date"


def _is_log(text: str, found: re.Match[str], prints: bool) -> bool:
    """Return whether a line of a script only prints what was found to where logs go."""
    at = found.start(str(found.lastgroup)) if "date" not in found.groupdict() else found.start("date")
    before = text[:at]
    begin = max(before.rfind(end) for end in ("\n", ";", "{", "&&", "||")) + 1
    line = re.split(r"[\n;]|&&|\|\|", text[begin : found.end()].lstrip("&|") + text[found.end() :], maxsplit=1)[0]
    if not _PRINTS.match(line) or re.search(r"(?<!\|)\|(?!\|)", line) or _REDIRECTED_BLOCK.search(text):
        return False
    redirected = _REDIRECT.findall(line)
    return (prints or bool(redirected)) and all(
        stream == "2" or target.startswith(("&2", "/dev/")) or (how == ">>" and "$" not in target)
        for stream, how, target in redirected
    )


def _line(text: str, at: int) -> str:
    return text[text.rfind("\n", 0, at) + 1 : (text.find("\n", at) + 1 or len(text))]


def time_in_source(source: str, shown: str) -> CodeFacts:
    """Return what a Python script, which is no module of a node, asks for the time, draws, and has of the local zone.

    `shown` is the name of its file, or the place of its text.
    """

    def place(node: ast.expr) -> str:
        return shown if ":" in shown else f"{shown}:{node.lineno}"

    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return NO_FACTS
    names = dict(_imported(tree))
    moments: dict[int, CodeFact] = {}
    seconds: set[int] = set()
    found = CodeFacts(clocks=(texts := []), draws=(draws := []), local_time=(local := []))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            texts += [CodeFact(clock, place(node)) for clock in clocks.clocks_in_text(node.value)]
        if not isinstance(node, ast.Attribute | ast.Name) or not isinstance(node.ctx, ast.Load):
            continue
        name, call = _meaning(node, names), called.get(id(node))
        fact = CodeFact(name, place(node))
        if clocks.is_clock(name, call):
            moments[id(call or node)] = fact
            seconds |= {id(call or node)} if clocks.is_seconds(name) else set()
        if clocks.is_unseeded(name, call):
            draws.append(fact)
        if clocks.is_local(name, call) or (call and clocks.is_local(f".{getattr(node, 'attr', '')}", call)):
            local.append(fact)
    measured = clocks.only_measured(tree, moments.keys(), seconds, prints=False) if moments else ()
    texts += [fact for moment, fact in moments.items() if moment not in measured]
    return found


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the names that imports bind, each with what it stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                yield alias.asname or first, alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def _meaning(node: ast.expr, names: dict[str, str]) -> str:
    """Return what a name with its attributes and calls stands for, "" if no import says so."""
    rest = ""
    while isinstance(node, ast.Attribute | ast.Call):
        rest = f".{node.attr}{rest}" if isinstance(node, ast.Attribute) else f"(){rest}"
        node = node.value if isinstance(node, ast.Attribute) else node.func
    start = names.get(getattr(node, "id", ""))
    return f"{start}{rest}" if start else ""
