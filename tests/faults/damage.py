"""Damages the work folder between two runs: bits, lengths, names, kinds and permissions of any file in it.

Promised: the next run gives the right result or refuses with a clear message, and damaged data is never used. After a
refusal, one more try, `nfrun clean` or a new work folder gives the right result.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults import rig
from tests.faults.rig import MARK, Ended, Place, Setting, Trial

ABOUT = (__doc__ or "").split("\n")[0]
FILE = "damaged.yaml"
WORK = ".nfrun"
REFUSALS = (74, 77)

STEPS = """
import os
import pyarrow as pa

def numbers(count):
    return pa.table({"n": range(count), "text": [str(i) for i in range(count)]})

def double(table):
    return pa.table({"n": [2 * n for n in table["n"].to_pylist()], "text": table["text"]})

def split(table):
    return {"low": table.slice(0, 100), "high": table.slice(100)}

def last(**inputs):
    if os.environ.get("FAULTS_FAIL"):
        raise LookupError("as it should")
    return pa.table({"sum": [sum(sum(table["n"].to_pylist()) for table in inputs.values())]})
"""

PIPELINE = """\
nodes:
  numbers: {python: "steps:numbers", with: {count: 1000}}
  doubled: {python: "steps:double", inputs: {table: numbers}}
  parts: {python: "steps:split", inputs: {table: doubled}, outputs: [low, high]}
  copied: {run: 'cp "$NFRUN_INPUT_table" "$NFRUN_OUTPUT"', inputs: {table: parts.high}}
  last: {python: "steps:last", inputs: [numbers, parts.low, copied]}
outputs: {last: last, copied: copied, low: parts.low}
"""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Copies of work folders by the sort of run that left them, and the right digests."""

    kept: dict[str, Path]
    known: dict[str, str]


def make(folder: Path) -> Place:
    folder.mkdir(parents=True)
    (folder / FILE).write_text(PIPELINE)
    (folder / "steps.py").write_text(STEPS)
    return Place(folder, {MARK: str(folder), "PYTHONDONTWRITEBYTECODE": "1"})


def prepare(setting: Setting) -> Prepared:
    """Make work folders of a run with all outputs kept, a failed run, a plain run, and several runs in a row."""
    folder = setting.folder / "p"
    place = make(folder)
    known: dict[str, str] = {}
    kept: dict[str, Path] = {}

    def keep(name: str) -> None:
        kept[name] = setting.folder / name
        shutil.copytree(folder / WORK, kept[name], symlinks=True)

    for name, runs in {
        "kept": [(("--keep",), {})],
        "failed": [((), {"FAULTS_FAIL": "1"})],
        "plain": [((), {})],
        "several": [((), {"FAULTS_FAIL": "1"}), ((), {}), (("--fresh", "--keep"), {})],
    }.items():
        shutil.rmtree(folder / WORK, ignore_errors=True)
        for more, env in runs:
            ended = place.run("run", FILE, "--json", *more, **env)
            if ended.code != (1 if env else 0):
                raise RuntimeError(f"a run that nothing has damaged: {ended}")
            if not env:
                known = rig.digests(ended.document)
        keep(name)
    return Prepared(kept, known)


def one(trial: Trial) -> None:
    prepared: Prepared = trial.prepared
    place = make(trial.folder / "p")
    work = place.folder / WORK
    kind = trial.random.choice(sorted(prepared.kept))
    shutil.copytree(prepared.kept[kind], work, symlinks=True)
    done = [damage(trial.random, work) for _ in range(trial.random.choice((1, 1, 1, 2, 3)))]
    told = f"{kind}, {' and '.join(done)}"
    if trial.random.random() < 0.1:
        planned = place.run("plan", FILE)
        rig.clean_words(trial, planned, f"{told}, planned")
        trial.check(planned.code in (0, *REFUSALS), f"{told}, planned: {planned}")
    if judge(trial, place, told):
        # A repaired folder must stay repaired.
        if trial.random.random() < 0.2 and not judge(trial, place, f"{told}, and taken up once more"):
            trial.check(False, f"{told}: right at first, then refused")
        return
    trial.count("refusals")
    for way in ("taken up again", "after nfrun clean", "with the work folder removed"):
        if way == "after nfrun clean":
            cleaned = place.run("clean", FILE)
            rig.clean_words(trial, cleaned, f"{told}, {way}")
        elif way == "with the work folder removed":
            rig.remove(work)
        if judge(trial, place, f"{told}, {way}"):
            trial.count(f"refusals overcome: {way}")
            return
    trial.check(False, f"{told}: no way out of it")


def judge(trial: Trial, place: Place, told: str) -> bool:
    """Resume the run; returns whether it succeeded. A wrong result, an unclear message or a signal is a complaint."""
    ended: Ended = place.run("run", FILE, "--json")
    rig.clean_words(trial, ended, told)
    trial.count(f"exit {ended.code}")
    if ended.code == 0:
        rig.right_outputs(trial, ended, trial.prepared.known, told)
        states = [node["status"] for node in ended.document.get("nodes", {}).values()]
        trial.count("nodes reused", states.count("reused"))
        trial.count("nodes run", states.count("ok"))
        return True
    trial.check(ended.code in REFUSALS, f"{told}: this is no refusal: {ended}")
    return False


# -- ways to damage a file ---------------------------------------------------------------------------------------------


def damage(chance: random.Random, work: Path) -> str:
    """Damage something in the folder; returns a description."""
    files = sorted(path for path in work.rglob("*") if path.is_file() and not path.is_symlink())
    if not files:
        return "nothing is left to damage"
    # The database and outputs are damaged more often than other files.
    weights = [{".db": 12, ".arrow": 4}.get(path.suffix, 1) for path in files]
    path = chance.choices(files, weights)[0]
    how = chance.choice(WAYS)
    mode = path.stat().st_mode
    path.chmod(0o600)
    what = how(chance, path, files)
    if path.is_file() and not path.is_symlink() and how is not forbid:
        path.chmod(mode)
    return f"{what} {path.relative_to(work)}"


def flip_bit(chance: random.Random, path: Path, files: list[Path]) -> str:
    data = bytearray(path.read_bytes())
    if not data:
        return "nothing to flip in"
    at = chance.randrange(len(data))
    data[at] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    return f"a bit of byte {at} flipped in"


def change_byte(chance: random.Random, path: Path, files: list[Path]) -> str:
    data = bytearray(path.read_bytes())
    if not data:
        return "nothing to change in"
    at = chance.randrange(len(data))
    data[at] = chance.choice((0, 0xFF, 0x0A, 0x22, data[at] ^ 0xFF))
    path.write_bytes(data)
    return f"byte {at} is now {data[at]:#04x} in"


def change_block(chance: random.Random, path: Path, files: list[Path]) -> str:
    data = bytearray(path.read_bytes())
    at = chance.randrange(len(data) + 1)
    size = min(chance.choice((8, 64, 512)), len(data) - at)
    data[at : at + size] = bytes(size) if chance.random() < 0.5 else chance.randbytes(size)
    path.write_bytes(data)
    return f"{size} bytes from {at} overwritten in"


def cut(chance: random.Random, path: Path, files: list[Path]) -> str:
    size = chance.randrange(path.stat().st_size + 1)
    os.truncate(path, size)
    return f"cut to {size} bytes:"


def empty(chance: random.Random, path: Path, files: list[Path]) -> str:
    os.truncate(path, 0)
    return "emptied:"


def extend(chance: random.Random, path: Path, files: list[Path]) -> str:
    more = chance.choice((b"\n", b"\0" * 512, b'{"a": 1}\n', chance.randbytes(100), b"{", path.read_bytes()))
    with path.open("ab") as file:
        file.write(more)
    return f"{len(more)} bytes appended to"


def repeat_line(chance: random.Random, path: Path, files: list[Path]) -> str:
    lines = path.read_bytes().splitlines(keepends=True)
    chosen = chance.choice(lines or [b""])
    at = chance.randrange(len(lines) + 1)
    path.write_bytes(b"".join([*lines[:at], chosen, *lines[at:]]))
    return "a line repeated in"


def drop_line(chance: random.Random, path: Path, files: list[Path]) -> str:
    lines = path.read_bytes().splitlines(keepends=True)
    if lines:
        lines.pop(chance.randrange(len(lines)))
    path.write_bytes(b"".join(lines))
    return "a line missing from"


def swap(chance: random.Random, path: Path, files: list[Path]) -> str:
    alike = [other for other in files if other != path and other.suffix == path.suffix] or files
    other = chance.choice(alike)
    aside = path.with_name("aside")
    path.rename(aside)
    if other != path:
        other.rename(path)
    aside.rename(other)
    return f"changed places with {other.name}:"


def delete(chance: random.Random, path: Path, files: list[Path]) -> str:
    path.unlink()
    return "deleted:"


def become_folder(chance: random.Random, path: Path, files: list[Path]) -> str:
    path.unlink()
    path.mkdir()
    if chance.random() < 0.5:
        (path / "inside").write_text("text")
    return "now a folder:"


def become_link(chance: random.Random, path: Path, files: list[Path]) -> str:
    to = chance.choice((chance.choice(files), Path("nowhere"), path, Path("/dev/null"), Path("/")))
    path.unlink()
    path.symlink_to(to)
    return f"now a link to {to.name or to}:"


def become_pipe(chance: random.Random, path: Path, files: list[Path]) -> str:
    path.unlink()
    os.mkfifo(path)
    return "now a named pipe:"


def forbid(chance: random.Random, path: Path, files: list[Path]) -> str:
    path.chmod(0)
    return "without permissions:"


def lose_folder(chance: random.Random, path: Path, files: list[Path]) -> str:
    rig.remove(path.parent)
    if chance.random() < 0.5:
        path.parent.parent.mkdir(exist_ok=True)
        path.parent.write_text("a file")
        return "a file instead of the folder of"
    return "the folder is gone of"


WAYS: tuple[Callable[[random.Random, Path, list[Path]], str], ...] = (
    *(flip_bit, change_byte, change_block, cut) * 3,
    *(empty, extend, repeat_line, drop_line, swap, delete) * 2,
    *(become_folder, become_link, become_pipe, forbid, lose_folder),
)

if __name__ == "__main__":
    rig.main(one, about=ABOUT, prepare=prepare, trials=2000)
