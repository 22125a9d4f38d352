"""Shared code of the trials: starts nfrun, judges what it leaves, and runs the trials of a script."""

from __future__ import annotations

import argparse
import compileall
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.processes import carrying, kill

ROOT = Path(__file__).resolve().parents[2]
MARK = "FAULTS_MARK"  # in the environment of all processes of a start of nfrun
LOG = "FAULTS_LOG"  # the file in which nodes record their start and end
HANG_SECONDS = 60.0  # a command that takes longer hangs
_MOST_TEXT = 1 << 24  # how many bytes at the end of a stream are read
GONE_SECONDS = 3.0  # time for the processes of a killed runner to end, on a busy machine
_TABLE = re.compile(
    r"^[ ─]+$|^ stage  |^ +\d+   .*  |^critical path|^sequential|finished in|in processes about|shared the proc"
)


@dataclass(frozen=True, slots=True)
class Ended:
    """The result of a command. `code` is negative for a signal, and None if the command hung and was killed."""

    code: int | None
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The document of `--json`; empty if there is none."""
        try:
            found = json.loads(self.out)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def __str__(self) -> str:
        told = "".join(f"\n    {line}" for line in self.err.split("\n") if line.strip() and not _TABLE.search(line))
        status = self.document.get("status", f"and {len(self.out)} characters on stdout")
        return f"exit {self.code}, {status}{told[-1500:]}"


class Started:
    """A running command. Its streams are files, so that a child with an open stream does not block the trial."""

    def __init__(self, command: list[str], folder: Path, env: Mapping[str, str]) -> None:
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115  (closed by `end`)
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            start_new_session=True,
        )

    def end(self, seconds: float = HANG_SECONDS) -> Ended:
        """Wait for the end of the command; kill it after `seconds`."""
        code: int | None
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
            self.kill()
        texts = []
        for stream in (self._out, self._err):
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _MOST_TEXT))
            texts.append(stream.read().decode(errors="replace"))
            stream.close()
        return Ended(code, *texts)

    def interrupt(self, whole_group: bool) -> None:
        """Send SIGINT to the process, or to its whole process group as a terminal does on Ctrl-C."""
        with suppress(ProcessLookupError):
            (os.killpg if whole_group else os.kill)(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """Send SIGKILL to the started process alone."""
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with a pipeline. `env` is added to the environment of every start."""

    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def start(self, *arguments: str, **env: str) -> Started:
        """Start `nfrun` with these arguments."""
        given = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "NFRUN_DEBUG")}
        environ = {**given, "PYTHONPATH": str(ROOT), **self.env, **env}
        return Started([sys.executable, "-m", "nfrun", *arguments], self.folder, environ)

    def run(self, *arguments: str, **env: str) -> Ended:
        return self.start(*arguments, **env).end()


@dataclass(slots=True)
class Trial:
    """One trial: its folder, its random generator, and its complaints, counts and measurements.

    `logs` is a folder for what nodes record. It lies in the temporary folder, and not beside the pipeline: there, the
    files would be outputs of the nodes, which run again when these change. `prepared` is the result of `prepare` of the
    script.
    """

    number: int
    random: random.Random
    folder: Path
    logs: Path
    prepared: Any
    complaints: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    measured: dict[str, list[float]] = field(default_factory=dict)

    def check(self, holds: object, complaint: str) -> bool:
        """Record the complaint unless `holds` is true; returns whether it is."""
        if not holds:
            self.complaints.append(complaint)
        return bool(holds)

    def count(self, what: str, times: int = 1) -> None:
        self.counts[what] += times

    def measure(self, what: str, value: float) -> None:
        """Record a figure; its spread over all trials is printed at the end."""
        self.measured.setdefault(what, []).append(value)


@dataclass(frozen=True, slots=True)
class Setting:
    """The argument of `prepare`. `options` are those of this script."""

    folder: Path
    random: random.Random
    options: Mapping[str, float]


def main(
    one: Callable[[Trial], None],
    *,
    about: str,
    prepare: Callable[[Setting], Any] = lambda setting: None,
    trials: int,
    every: Callable[[Any], int] | None = None,
    options: Mapping[str, tuple[float, str]] = {},
) -> None:
    """Run the trials that the command line asks for, print the findings, and exit with 1 if a trial failed.

    `trials` is the default number. `every` returns the number of all possible trials, if a script can enumerate them.
    `options` are numeric options of this script: their defaults and their help.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--trials", type=int, default=trials, help="how many; 0: all there are, where they can be told")
    parser.add_argument("--seed", type=int, default=0, help="what chance is drawn from")
    parser.add_argument("--only", type=int, help="the number of the one trial to repeat")
    parser.add_argument("--jobs", type=int, default=1, help="how many trials run at once")
    parser.add_argument("--inside", type=Path, help="a folder for the folders of runs, as on a network file system")
    parser.add_argument("--leave", type=Path, help="a folder for what trials that failed leave")
    for name, (usual, what) in options.items():
        parser.add_argument(f"--{name}", type=float, default=usual, help=f"{what} (usually {usual:g})")
    given = parser.parse_args()
    compileall.compile_dir(ROOT / "nfrun", quiet=2)  # otherwise every start compiles where no bytecode is written
    began = time.monotonic()
    counts: Counter[str] = Counter()
    measured: dict[str, list[float]] = {}
    wrong = 0
    temporary = tempfile.TemporaryDirectory
    with temporary(prefix="nfrun-faults-", dir=given.inside) as scratch, temporary(prefix="nfrun-logs-") as logs:
        own = {name: getattr(given, name) for name in options}
        prepared = prepare(Setting(Path(scratch, "prepared"), random.Random(given.seed), own))
        wanted = given.trials or (every(prepared) if every else trials)
        numbers = range(wanted) if given.only is None else [given.only]

        def make(number: int) -> Trial:
            folder, own_logs = Path(scratch, str(number)), Path(logs, str(number))
            folder.mkdir()
            own_logs.mkdir()
            chance = random.Random(f"{given.seed} {number}")
            trial = Trial(number, chance, folder, own_logs, prepared)
            try:
                one(trial)
            except Exception:
                trial.complaints.append(f"the trial itself failed:\n{traceback.format_exc()}")
            finally:
                kill(marked(str(folder)))
            if trial.complaints and given.leave:
                with suppress(shutil.Error):  # pipes and unreadable files are not copied
                    shutil.copytree(folder, given.leave / str(number), symlinks=True, dirs_exist_ok=True)
            remove(folder)
            return trial

        with ThreadPoolExecutor(given.jobs) as pool:
            for trial in pool.map(make, numbers):
                counts += trial.counts
                for what, values in trial.measured.items():
                    measured.setdefault(what, []).extend(values)
                wrong += bool(trial.complaints)
                script = Path(sys.argv[0]).stem
                more = "".join(f" --{name} {own[name]:g}" for name in own if own[name] != options[name][0])
                repeat = f"python -m tests.faults.{script} --seed {given.seed}{more} --only {trial.number}"
                for complaint in trial.complaints:
                    print(f"trial {trial.number}: {complaint}\n  repeat: {repeat}", flush=True)
        remove(Path(scratch))
        Path(scratch).mkdir(exist_ok=True)
    seconds = time.monotonic() - began
    for what, times in sorted(counts.items()):
        print(f"{times:>8} {what}")
    for what, values in sorted(measured.items()):
        values.sort()
        middle, high = values[len(values) // 2], values[len(values) * 19 // 20]
        print(f"{what}: median {middle:.1f}, 95 of 100 below {high:.1f}, most {values[-1]:.1f}, of {len(values)}")
    print(f"{len(numbers)} trials, {wrong} wrong, seed {given.seed}, {seconds:.0f} s")
    sys.exit(1 if wrong else 0)


def remove(folder: Path) -> None:
    """Remove a folder and all in it, whatever its permissions."""
    for path, _, _ in os.walk(folder):
        with suppress(OSError):
            Path(path).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.unlink()  # a file took the place of the folder


# -- judging what a run leaves -----------------------------------------------------------------------------------------


def marked(mark: str) -> list[int]:
    """Return the processes whose MARK is `mark` or a path below it."""
    return carrying(MARK, mark)


def await_gone(mark: str, seconds: float = GONE_SECONDS) -> tuple[list[int], float]:
    """Wait until no process has this mark; returns those left after `seconds`, and how long it took."""
    began = time.monotonic()
    while left := marked(mark):
        if time.monotonic() - began > seconds:
            return left, seconds
        time.sleep(0.005)
    return [], time.monotonic() - began


def visible(work: Path) -> list[Path]:
    """Return the output files that are visible under their final names."""
    found = (path for path in work.glob("runs/*/*.arrow") if not path.name.startswith("."))
    return sorted(path for path in found if path.is_file())


def digest_of(path: Path) -> str:
    """Read and validate all of an Arrow file and return its digest. Raises an error for a damaged file."""
    import pyarrow as pa

    from nfrun.tables.digest import table_digest

    with pa.OSFile(os.fsencode(path), "rb") as file:  # not mapped: it may shrink while it is read
        table = pa.ipc.open_file(file.read_buffer()).read_all()
    table.validate(full=True)
    return table_digest(table)


def torn(path: Path) -> str:
    """Describe what is wrong with an output file; "" if it is whole."""
    try:
        digest_of(path)
    except Exception as error:
        return f"{path.name} ({path.stat().st_size} bytes) is not whole: {type(error).__name__}: {error}"
    return ""


def digests(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests of the outputs by name from the document of a run."""
    return {name: output["digest"] for name, output in document.get("outputs", {}).items()}


def right_outputs(trial: Trial, ended: Ended, known: Mapping[str, str], when: str) -> None:
    """Check that a run succeeded, that it reports the known digests, and that its files have them."""
    document = ended.document
    if not trial.check(ended.code == 0 and document.get("status") == "ok", f"{when}: {ended}"):
        return
    trial.check(digests(document) == known, f"{when}: other digests: {digests(document)} instead of {dict(known)}")
    for name, output in document["outputs"].items():
        try:
            found = digest_of(Path(output["path"]))
        except Exception as error:
            trial.check(False, f"{when}: the file of the output '{name}': {type(error).__name__}: {error}")
        else:
            trial.check(found == known.get(name), f"{when}: the file of the output '{name}' has other content")


def clean_words(trial: Trial, ended: Ended, when: str) -> None:
    """Check that the command did not hang, was not killed by a signal, and printed no traceback of nfrun."""
    if not trial.check(ended.code is not None, f"{when}: hung: {ended}"):
        return
    trial.check((ended.code or 0) >= 0, f"{when}: ended by a signal: {ended}")
    for words in ("Traceback", "this is a bug in nfrun", "Exception ignored", "Fatal Python error"):
        trial.check(words not in ended.err + ended.out, f"{when}: '{words}': {ended}")
    trial.check(not ended.code or (ended.err + ended.out).strip(), f"{when}: exit {ended.code} without a word")


def events_of(path: Path) -> list[dict[str, Any]]:
    """Read the events of a file of `--events`; a kill may have cut its last line."""
    found = []
    with suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
            with suppress(ValueError):
                found.append(json.loads(line))
    return found


def compiled(source: str, folder: Path) -> Path:
    """Compile a C file of this folder to a shared library. Raises SystemExit 0 without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or sys.platform != "linux":
        print(f"skipped: {source} needs Linux and a C compiler")
        raise SystemExit(0)
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / f"{Path(source).stem}.so"
    flags = ["-shared", "-fPIC", "-O1", "-Wall"]
    subprocess.run([compiler, *flags, "-o", str(library), str(Path(__file__).with_name(source)), "-ldl"], check=True)
    return library
