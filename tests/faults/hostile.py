"""Puts generated hostile strings (shell commands, path escapes, terminal sequences) wherever nfrun takes text.

Promised: no part of them is executed, no file is written in an unexpected place, text that is data arrives unchanged,
and none of their control characters reaches a terminal or a pipe.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pexpect

from tests.faults import rig
from tests.faults.rig import MARK, Ended, Place, Trial

ABOUT = (__doc__ or "").split("\n")[0]
CODES = (0, 1, 2, 74, 77)

# Except newline and tab: C0, DEL, C1, direction marks and overrides, line and paragraph separators, surrogates.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# What the live view itself writes: colours, erased lines, and the cursor moved, hidden and shown.
OURS = re.compile("\x1b\\[(?:[0-9;]*m|[0-9]*[ABCDGJK]|2K|\\?25[lh])|\r")
THEIRS = re.compile("\x1b\\[(?:5;37;105m|2J|6n|999;1H)")  # sequences of PIECES that the live view never writes

PIECES = (
    "'", '"', "\\", "`touch CANARY`", "$(touch CANARY)", "; touch CANARY;", "'; touch CANARY; '", '"; touch CANARY; "',
    "| touch CANARY", "&& touch CANARY #", "\n", "\r\n", "\r", "\t", "\0", "../", "../../CANARY", "/etc/passwd", "~",
    "*", "\x1b[2J", "\x1b[5;37;105m", "\x1b[6n", "\x1b[999;1H", "\x1b]8;;http://bad.example\x07link\x1b]8;;\x07",
    "\x1b]52;c;YmFk\x07", "\x1b]0;title\x07", "\x1bP+q544e\x1b\\", "\x9b31m", "\x9d0;t\x9c", "\x07", "\x08\x08\x08",
    "\x7f", "\u202e", "\u2066", "\u200f", "\u061c", "\u2028", "\ufeff", "\ud800", "\udcff", "[red]", "[/red]", "[/]",
    "[bold red on", "[link=http://bad.example]x[/link]", ":smile:", "{{ 7 * 7 }}", "${{ 7 * 7 }}", "${{ params.p }}",
    "{{ cycler.__init__.__globals__.os.system('touch CANARY') }}", "{% for x in y %}", "${HOME}", "%s%n",
    "{0.__class__}", "!!python/name:os", "&a *a", "- ", ": ", " #", "---\n", "<script>alert(1)</script>", "%00",
    "日本語", "é", "\U0001f600", "e\u0301", "--help", "-",
)  # fmt: skip

STEPS = r"""
import json
import os
import subprocess
from pathlib import Path
import pyarrow as pa

GIVEN = Path(__file__).with_name("given.json")

def text_of(slot):
    return json.loads(GIVEN.read_text()).get(slot, slot)

def echo(context, text, other):
    print(text)
    print(other, end="")
    context.log.warning("%s", text)
    context.progress(1, 2)
    return pa.table({"text": [text], "other": [other], "env": [context.env.get("E")]})

def cells():
    print(text_of("log"))
    column, cell = (text_of(slot).encode(errors="replace").decode() for slot in ("column", "cell"))
    return pa.table({column: [cell, None, cell], "b": [cell.encode()] * 3, "l": [[cell]] * 3, "d": [{"k": cell}] * 3})

def child():
    subprocess.run(["printf", "%s", text_of("child").replace("\0", "").encode(errors="replace")], check=True)
    return {"ok": True}

def error():
    text = text_of("error")
    if text == "error":
        return {"ok": True}
    raise type("Bad" + text.replace("\0", ""), (RuntimeError,), {})(text) from ValueError(text)
"""

SCRIPT = """
printf '%s' "$NFRUN_WITH_text"; printf '%s' "$E" >&2; cat log.bin; cat log.bin >&2
printf 'n\\n1\\n' > "$NFRUN_OUTPUT"
[ ! -e fail ]
"""


@dataclass(slots=True)
class Case:
    """The hostile texts by the name of their place (`slots`); other places get harmless text."""

    slots: dict[str, str] = field(default_factory=dict)

    def __call__(self, slot: str, usual: str | None = None) -> str:
        return self.slots.get(slot, slot if usual is None else usual)


# Places where text is data (passed unchanged or refused with its place), a name, a path, or a word of nfrun.
DATA = ("param", "with", "env", "description", "name", "node description", "column", "cell", "log", "error", "child")
IN_FILE = ("with", "env", "description", "name", "node description")
NAMES = (
    *(
        "node",
        "output",
        "input",
        "param name",
        "with name",
        "env name",
        "reference",
        "needs",
        "shown",
        "kind",
        "format",
    ),
)
PATHS = ("pipeline file", "work", "params file", "events", "read", "write")
WORDS = ("option", "command", "-p", "timeout", "executor", "module")


def text(chance: random.Random, canary: Path) -> str:
    if chance.random() < 0.05:
        return chance.choice(PIECES).replace("CANARY", str(canary)) * chance.choice((1_000, 30_000))
    pieces = chance.choices(PIECES, k=chance.randrange(1, 6))
    return chance.choice(("", "a", "x y")) + "".join(pieces).replace("CANARY", str(canary))


def fits_argument(given: str) -> str:
    """Return the part of a text that can be an argument of a program."""
    return re.sub("[\0\ud800-\udc7f\udd00-\udfff]", "", given)[:60_000]


def fits_name(given: str) -> str:
    """Return the part of a text that can be a file name."""
    return fits_argument(given).replace("/", "_").encode(errors="surrogateescape")[:120].decode(errors="ignore") or "x"


def make(case: Case, place: Place, ascii_only: bool) -> Path:
    """Write the pipeline and the files it needs; returns its path."""

    def q(slot: str, usual: str | None = None) -> str:
        return json.dumps(case(slot, usual), ensure_ascii=ascii_only or bool(re.search("[\ud800-\udfff]", case(slot))))

    folder = place.folder
    (folder / "steps.py").write_text(STEPS)
    (folder / "given.json").write_text(json.dumps(case.slots))
    (folder / "log.bin").write_bytes(case("log").encode("utf-8", "surrogatepass") + b"\xff\xfe\x80\x9b31m\n")
    source = fits_name(case("read")) + ".csv"
    (folder / source).write_text("n\n1\n")
    if "error" in case.slots:
        (folder / "fail").touch()
    quoted = {"read": json.dumps(source), "write": json.dumps(f"out/{fits_name(case('write'))}.csv")}
    lines = f"""\
name: {q("name", "hostile")}
description: {q("description")}
params: {{p: usual, {q("param name", "other")}: {{type: string, default: x, help: {q("description")}}}}}
env: {{E: {q("env")}, {q("env name", "F")}: x}}
nodes:
  echo:
    {q("kind", "python")}: {q("module", "steps:echo")}
    description: {q("node description")}
    with: {{text: "${{{{ params.p }}}}", {q("with name", "other")}: {q("with")}}}
    timeout: {q("timeout", "30s")}
    executor: {q("executor", "thread")}
  shell:
    run: {json.dumps(SCRIPT)}
    with: {{text: "${{{{ params.p }}}}"}}
    format: {q("format", "csv")}
    outputs: [{q("output", "o")}]
  {q("node", "query")}:
    sql: select $text as text
    with: {{text: "${{{{ params.p }}}}"}}
    needs: [{q("needs", "echo")}]
  cells: {{python: "steps:cells"}}
  child: {{python: "steps:child"}}
  error: {{python: "steps:error"}}
  source: {{read: {quoted["read"]}}}
  save: {{write: {quoted["write"]}, inputs: {{{q("input", "table")}: {q("reference", "source")}}}}}
outputs: {{echo: echo, cells: cells, {q("shown", "query")}: {q("node", "query")}}}
"""
    file = folder / (fits_name(case("pipeline file", "hostile")) + ".yaml")
    file.write_bytes(lines.encode("utf-8", "surrogateescape"))
    return file


def one(trial: Trial) -> None:
    chance, canary = trial.random, trial.folder / "canary"
    group = chance.choice((DATA, DATA, NAMES, PATHS, WORDS))
    case = Case({slot: text(chance, canary) for slot in chance.sample(group, chance.randrange(1, 4))})
    for slot in IN_FILE:
        if slot in case.slots and chance.random() < 0.7:  # otherwise the file is refused and nothing runs
            case.slots[slot] = CONTROL.sub("", case.slots[slot]).replace("${{", "{{")
    if chance.random() < 0.5:
        case.slots["param"] = text(chance, canary)
    for name in ("p", "home", "tmp"):
        (trial.folder / name).mkdir()
    env = {"HOME": str(trial.folder / "home"), "TMPDIR": str(trial.folder / "tmp"), MARK: str(trial.folder)}
    place = Place(trial.folder / "p", {**env, "PYTHONDONTWRITEBYTECODE": "1"})
    file = make(case, place, chance.random() < 0.5)
    told = ", ".join(f"{slot}={given[:200]!r}" for slot, given in case.slots.items())
    words = command_line(case, place, file)
    before = files_in(trial.folder)
    if chance.random() < 0.25:
        ended = on_terminal(place, words, chance)
        # A terminal shows both streams mixed, with the live view.
        seen = OURS.sub("", ended.out.replace("\r\n", "\n"))
        trial.check(not THEIRS.search(ended.out), f"{told}: a sequence of theirs on the terminal: {found(ended.out)}")
        trial.count("on a terminal")
    else:
        ended = place.run(*words)
        seen = ended.out + ended.err
    trial.check(not CONTROL.search(seen), f"{told}: control characters: {found(seen)}")
    rig.clean_words(trial, Ended(ended.code, "", ended.err), told)
    trial.check("MarkupError" not in seen, f"{told}: MarkupError")
    trial.check(ended.code in CODES, f"{told}: {words[0]!r} gives {ended}")
    trial.count(f"exit {ended.code}")
    trial.check(not canary.exists() and not list(trial.folder.rglob("canary*")), f"{told}: something executed")
    strays = [name for name in files_in(trial.folder) - before if not name.startswith(("p/", "home/", "tmp/"))]
    trial.check(not strays, f"{told}: written outside of the folder: {strays}")
    judge_places(trial, case, place, told)
    if ended.code == 0 and ended.document:
        judge_data(trial, case, ended, told)
    look(trial, place, file, told)


def command_line(case: Case, place: Place, file: Path) -> list[str]:
    parameter = fits_argument(case("param", "usual"))
    words = [fits_argument(case("command", "run")), file.name if file.name[0] != "-" else f"./{file.name}"]
    if "params file" in case.slots:
        name = fits_name(case("params file")) + ".json"
        (place.folder / name).write_text(json.dumps({"p": case("param", "usual")}))
        words += [f"--params-file=./{name}"]
    else:
        words += ["-p", f"p={parameter}"]
    words += [f"--work=./{fits_name(case('work'))}"] if "work" in case.slots else []
    words += [f"--events=./{fits_name(case('events'))}"] if "events" in case.slots else []
    words += ["-p", fits_argument(case("-p"))] if "-p" in case.slots else []
    words += [fits_argument(case("option"))] if "option" in case.slots else []
    return words if random.Random(str(case.slots)).random() < 0.5 else [*words, "--json"]


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def judge_places(trial: Trial, case: Case, place: Place, told: str) -> None:
    """Check that the folder has only the files that were there, the requested files, and the work folder."""
    asked = {fits_name(case(slot)) for slot in ("work", "events") if slot in case.slots}
    asked |= {fits_name(case("params file")) + ".json", fits_name(case("pipeline file", "hostile")) + ".yaml"}
    asked |= {fits_name(case("read")) + ".csv", "steps.py", "given.json", "log.bin", "fail", "out", ".nfrun"}
    strays = {path.name for path in place.folder.iterdir()} - asked
    trial.check(not strays, f"{told}: written beside the pipeline: {strays}")
    out = {path.name for path in place.folder.glob("out/*")}
    if "${{" in case("write"):  # an expression, whose value stays in the folder
        trial.check(len(out) <= 1, f"{told}: the write node wrote {out}")
    else:
        out -= {f"{fits_name(case('write'))}.csv"}
        trial.check(not out, f"{told}: the write node wrote {out}")


def judge_data(trial: Trial, case: Case, ended: Ended, told: str) -> None:
    """Check that values arrived unchanged."""
    import pyarrow as pa

    given = case("param", "usual") if "params file" in case.slots else fits_argument(case("param", "usual"))
    with pa.OSFile(ended.document["outputs"]["echo"]["path"], "rb") as file:
        row = pa.ipc.open_file(file.read_buffer()).read_all().to_pylist()[0]
    for name, value in (("text", given), ("other", case("with")), ("env", case("env"))):
        if name == "other" and "${{" in value:
            continue  # an expression, which is evaluated
        if name == "env" and "${{" in value:
            continue
        trial.check(row[name] == value, f"{told}: {name} arrived as {row[name][:200]!r}")
    trial.count("data that arrived unchanged", 3)


def look(trial: Trial, place: Place, file: Path, told: str) -> None:
    """Validate or plan the file."""
    name = file.name if file.name[0] != "-" else f"./{file.name}"
    words = trial.random.choice(
        (["validate", name], ["validate", name, "--json"], *(["plan", name, "--format", f] for f in FORMATS))
    )
    ended = place.run(*words)
    rig.clean_words(trial, ended, f"{told}: {words}")
    seen = ended.out + ended.err
    trial.check(not CONTROL.search(seen), f"{told}: {words}: control characters: {found(seen)}")
    trial.check(ended.code in (0, 2), f"{told}: {words}: {ended}")


FORMATS = ("text", "json", "mermaid", "dot")


def found(seen: str) -> list[str]:
    return [repr(seen[max(0, m.start() - 60) : m.end() + 30]) for m in CONTROL.finditer(seen)][:3]


# pexpect accepts only UTF-8 arguments.
_BY_JSON = "import json, os, sys; words = json.loads(sys.argv[1]); os.execv(words[0], words)"


def on_terminal(place: Place, words: list[str], chance: random.Random) -> Ended:
    environ = {**os.environ, "PYTHONPATH": str(rig.ROOT), **place.env, "TERM": "xterm-256color"}
    environ.pop("CI", None)
    size = (chance.choice((10, 24, 60)), chance.choice((40, 80, 200)))
    child = pexpect.spawn(
        sys.executable,
        ["-c", _BY_JSON, json.dumps([sys.executable, "-m", "nfrun", *words])],
        cwd=str(place.folder),
        env=environ,
        dimensions=size,
        timeout=rig.HANG_SECONDS,
        encoding="utf-8",
        codec_errors="replace",
    )
    try:
        child.expect(pexpect.EOF)
    except pexpect.TIMEOUT:
        child.close(force=True)
        return Ended(None, child.before or "", "")
    shown = child.before or ""
    child.close()
    code = child.exitstatus if child.exitstatus is not None else -(child.signalstatus or 0)
    return Ended(code, shown, shown)


if __name__ == "__main__":
    rig.main(one, about=ABOUT, trials=1000)
