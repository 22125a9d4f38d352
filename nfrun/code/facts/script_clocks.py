"""Finds where shell scripts, and Python scripts that they start, ask for the time or draw what nothing seeds.

A line that only prints does not count where it goes to a log: to stderr and, from the script of a node, to stdout.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from nfrun.code.facts.clocks import clocks_in_query, draws_in_query, is_query
from nfrun.code.facts.code_facts import NO_FACTS, CodeFact, CodeFacts
from nfrun.code.facts.names import Names
from nfrun.code.facts.statement_reader import StatementReader
from nfrun.code.fingerprint import Fingerprints
from nfrun.core.values import replace

_SCRIPTS = (".py", ".sh", ".bash", ".sql")
_IGNORED = re.compile(r"(?:^|(?<=\s))#[^\n]*|\\\n")
_PIECES = re.compile(r"\n|;|&&|\|\||\{\s")
_DATE = re.compile(
    r"(?:^|[|&(`!]|\b(?:then|do|else|exec|env|sudo|command|nice|nohup|xargs|timeout\s+\S+)(?!\S))\s*(?:\w+=\S*\s+)*(?:/usr)?(?:/bin/)?g?date\b"
    r"(?![\w.=,/-])([^|)`]*)"
)
# Words of `date` that let it tell another time: `-d "$day - 1 day"`, but not `-d "$n days ago"`.
_OTHER_DATE = re.compile(
    r"\s(?:-[jrf]\b|--reference|(?:-\w*d|--date)[\s=]*(?:\"[^\"$`@\d]*|'[^'@\d]*|[^\s\"'$`@\d]*)"
    r"(?:[$`@]|\d{4})(?!\S*\s+(?:day|week|month|year|hour|min|sec)))"
)
_MEASURES = re.compile(r"\b(\w+)=[\"']?(?:\$\(|`)\s*date\b[^)`]*%s.*-\s*[\"']?\$?\{?\1\b", re.DOTALL)
_CLOCK = re.compile(
    r"%\([^)]*\)T|\s-(?:[acm](?:time|min)|newer\wt)\b|\$\W*EPOCH(?:SECONDS|REALTIME)|\bsystime\(\)|\bstrftime\([^(),]*\)"
    r"|\b\w+\.(?:now|utcnow|today)\(|\bnew Date\(\)|\bSys\.(?:time|Date)\(\)|\btime\.(?:time|ctime|strftime)\("
)
_DRAW = re.compile(
    r"\$\W*S?RANDOM\b|/dev/u?random|random/uuid|\buuidgen\b|\bshuf\b(?!.*--random-s)|\bsort\s(?:-\w+\s+)*-\w*R"
    r"|\bopenssl\s+rand\b|\buuid[14]\(|\bsecrets\.\w+"
)
_LOCAL = re.compile(r"\bdate\b|\bTZ\b|localtime|strftime|mktime|fromtimestamp|\bls\s+-\w*l|\bstat\b")
_PRINTS = re.compile(r"\s*(?:(?:then|do|else)\s+)?(?:echo|printf(?!\s+-v)|date|log\w*|info|warn\w*|err\w*|say)\b")
_QUOTED_OR_LOGGED = re.compile(r"\"[^\"]*\"|'[^']*'|[12]?>&2|2>>?\s*\S+|>\s*/dev/\S+|>>\s*[^\s$\"']+(?!\S)")
# A group or a text whose output goes somewhere else; the names of functions, and those whose output does.
_CAPTURED = re.compile(
    r"(?:^|[\s;])(?:\}|\)|done|fi|esac)(?!\w)[^\n;]*?(?:(?<!2)>(?!&2|\s*/dev/)|(?<!\|)\|(?!\|))|\bexec\s+1?>(?!&2)"
    r"|(?<!<)<<(?!<)|\$\(\s*\n"
)
_FUNCTION = re.compile(r"\b(\w+)\s*\(\)")
_READ = re.compile(r"(?:\$\(|`)\s*(\w+)|^(?=\s*(\w+)\b[^\n\"']*(?:[^2&]>(?!&2)|\|))", re.MULTILINE)


def time_in_script(text: str, where: str, *, prints: bool = False) -> CodeFacts:
    """Return what a shell script asks for the time, draws, and has of the local time zone.

    `prints`: its stdout is a log, and not read by what has started it.
    """
    text = _IGNORED.sub(" ", text)
    functions = {*_FUNCTION.findall(text)} & {name for found in _READ.findall(text) for name in found}
    prints = prints and not functions and not _CAPTURED.search(text)
    measures = _MEASURES.search(text)
    query = re.sub("['\"]", " ", text) if is_query(text) else ""
    asked, drawn = [*clocks_in_query(query)], [*draws_in_query(query, seeded=False)]
    for piece in _PIECES.split(text):
        left = _QUOTED_OR_LOGGED.sub("", piece)
        if _PRINTS.match(piece) and not re.search(r"[|>\"']", left) and (prints or ">&2" in piece):
            continue
        dates = (found[1] for found in _DATE.finditer(piece))
        asked += ["date" for words in dates if not _OTHER_DATE.search(words) and not (measures and "%s" in words)]
        asked += [found[0].strip(" (") for found in _CLOCK.finditer(piece)]
        drawn += [found[0] for found in _DRAW.finditer(piece)] if "sleep" not in piece else []
    return CodeFacts(
        clocks=[CodeFact(what, where) for what in asked],
        draws=[CodeFact(what, where) for what in drawn],
        local_time=[CodeFact(found[0], where) for found in _LOCAL.finditer(text)],
    )


def time_in_file(path: Path, shown: str) -> CodeFacts:
    """Return what a script or a query, which is no module of a node, asks for the time, draws, and has of the zone.

    Nothing for other files: a script has an ending of one, or none and `#!` at its start.
    """
    try:
        if path.suffix not in ("", *_SCRIPTS):
            return NO_FACTS
        with path.open("rb") as file:
            if not path.suffix and file.read(2) != b"#!":
                return NO_FACTS
        text = path.read_text("utf-8")
        if path.suffix == ".sql":
            return CodeFacts(clocks=[CodeFact(clock, shown) for clock in clocks_in_query(text)])
        if path.suffix != ".py":
            return time_in_script(text, shown)
        code = Fingerprints(path.parent)
        script = ast.parse("def script(): ...").body[0]  # in which the script's own imports are local names
        setattr(script, "body", ast.parse(text).body)  # noqa: B010
        return StatementReader(path.stem, "", shown, Names(code), code).read(script, prints=False).time
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return NO_FACTS


def with_time(facts: CodeFacts, *more: CodeFacts) -> CodeFacts:
    """Return the facts with what others tell of the time."""
    every = (facts, *more)
    return replace(
        facts,
        clocks=[fact for one in every for fact in one.clocks],
        draws=[fact for one in every for fact in one.draws],
        local_time=[fact for one in every for fact in one.local_time],
    )
