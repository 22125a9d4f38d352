"""Makes the n-th write, rename, open, mkdir, … of a run fail, once or from then on, and fills up disks.

Promised: the run reports the error in a clear message and by its exit code, leaves no half-written file visible, and
can be resumed when nothing fails any more. The library `failing.c` makes the calls fail.
"""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults import rig
from tests.faults.rig import MARK, Ended, Place, Setting, Trial

ABOUT = (__doc__ or "").split("\n")[0]

# The kinds of `enum kind` in failing.c, with the errors of each.
KINDS = {
    "write": (errno.ENOSPC, errno.EIO, errno.EDQUOT),
    "create": (errno.ENOSPC, errno.EMFILE, errno.EACCES),
    "open": (errno.EMFILE, errno.EIO, errno.EACCES),
    "rename": (errno.ENOSPC, errno.EIO, errno.EACCES),
    "mkdir": (errno.ENOSPC, errno.EACCES),
    "fsync": (errno.EIO,),
    "link": (errno.ENOSPC, errno.EACCES),
    "unlink": (errno.EIO, errno.EACCES),
    "mmap": (errno.ENOMEM,),
    "truncate": (errno.EIO,),
    "chmod": (errno.EACCES, errno.EIO),
    "flock": (errno.ENOLCK,),
}
_STATE = struct.Struct("=5i16i16s4096s")
_OUTPUT = re.compile(r"/runs/[^/]+/(?P<node>[A-Za-z][\w-]*)[^/]*\.arrow[^/]*$")

STEPS = """
import os
import pyarrow as pa

def numbers(count):
    return pa.table({"n": range(count)})

def double(table):
    return pa.table({"n": [2 * n for n in table["n"].to_pylist()]})

def last(**inputs):
    if os.environ.get("FAULTS_FAIL"):
        raise LookupError("as it should")
    return {"rows": sum(table.num_rows for table in inputs.values())}
"""

PIPELINE = """\
name: failing
nodes:
  source: {read: source.csv}
  numbers: {python: "steps:numbers", with: {count: 3000}}
  doubled: {python: "steps:double", inputs: {table: numbers}, executor: process}
  copied: {run: 'cp "$NFRUN_INPUT_table" "$NFRUN_OUTPUT"', inputs: {table: doubled}}
  text: {run: 'cat "$NFRUN_INPUT_source" > "$NFRUN_OUTPUT"', inputs: [source], format: csv}
  save: {write: place/out/text.csv, inputs: text}
  spilled:  # needs some MB more than it may have
    sql: |
      set threads = 1; set memory_limit = '6MB';
      create table much as select n, i, md5((n * i)::text) as m from doubled, range(70) t(i);
      select count(*)::int as n, max(m) as m from much
    inputs: doubled
  last: {python: "steps:last", inputs: [numbers, copied, text, spilled], needs: [save]}
outputs: {last: last, copied: copied, text: text}
"""
FILE = "failing.yaml"
RUN = ("run", FILE, "--json", "--work", "place/work", "--events", "place/events")


@dataclass(frozen=True, slots=True)
class Fault:
    """The `nth` call of a kind fails, and with `forever` all later ones. With `again` this is in a resumed run."""

    kind: str
    nth: int
    error: int
    forever: bool
    again: bool

    def __str__(self) -> str:
        how = "and all later ones" if self.forever else "once"
        which = "a run that is taken up" if self.again else "a new run"
        return f"{self.kind} number {self.nth} fails with {errno.errorcode[self.error]} ({how}) in {which}"


@dataclass(frozen=True, slots=True)
class Full:
    """A disk of `kib` KiB, or a limit of `kib` KiB on the size of files."""

    kind: str
    kib: int

    def __str__(self) -> str:
        return f"a {self.kind} of {self.kib} KiB"


@dataclass(frozen=True, slots=True)
class Prepared:
    shim: Path
    known: dict[str, str]
    faults: list[Fault | Full]


def make(folder: Path) -> Place:
    """Write the pipeline and its inputs. nfrun writes only below the folder `place`."""
    (folder / "place/out").mkdir(parents=True)
    (folder / FILE).write_text(PIPELINE)
    (folder / "steps.py").write_text(STEPS)
    (folder / "source.csv").write_text("a,b\n" + "".join(f"{i},text {i}\n" for i in range(500)))
    return Place(folder, {MARK: str(folder), "PYTHONDONTWRITEBYTECODE": "1"})


def shimmed(place: Place, shim: Path, state: Path) -> dict[str, str]:
    return {"LD_PRELOAD": str(shim), "FAULTS_BELOW": str(place.folder / "place"), "FAULTS_STATE": str(state)}


def write_state(path: Path, fault: Fault | None) -> None:
    values = (list(KINDS).index(fault.kind), fault.nth, fault.error, fault.forever) if fault else (-1, 0, 0, 0)
    path.write_bytes(_STATE.pack(*values, 0, *[0] * 16, b"", b""))


def read_state(path: Path) -> tuple[int, dict[str, int], str, str]:
    """Return how many calls failed, the calls by kind, and the program and file of the first failed call."""
    values = _STATE.unpack(path.read_bytes())
    program, file = (text.split(b"\0")[0].decode(errors="replace") for text in values[-2:])
    return values[4], dict(zip(KINDS, values[5:21], strict=False)), program, file


def prepare(setting: Setting) -> Prepared:
    """Count the calls of an undisturbed run: each gives two faults per errno."""
    folder = setting.folder
    shim = rig.compiled("failing.c", folder / "shim")
    faults: list[Fault | Full] = []
    known: dict[str, str] = {}
    for second in (False, True):
        place, state = make(folder / str(second)), folder / "state"
        if second:
            fail(place)
        write_state(state, None)
        ended = place.run(*RUN, **shimmed(place, shim, state))
        if ended.code != 0 or (known and rig.digests(ended.document) != known):
            if second:  # every trial that resumes a run reports this
                break
            raise RuntimeError(f"the undisturbed run failed: {ended}")
        known = rig.digests(ended.document)
        _, counts, _, _ = read_state(state)
        # One more, since the number of calls varies a little.
        faults += [
            Fault(kind, nth, error, forever, second)
            for kind, errors in KINDS.items()
            for error in errors
            for forever in (False, True)
            for nth in range(1, counts[kind] + 2)
            if counts[kind]
        ]
    faults += [Full("limit on files", kib) for kib in (0, 1, 2, 4, 8, 16, 24, 32)]
    if mounts():
        faults += [Full("disk", kib) for kib in range(8, 200, 4)]
    else:
        print("left out, since this user may not mount: disks that are full")
    # Not shuffled, since the number of faults varies: this way most keep their position, and trials can be repeated.
    salt = setting.random.random()
    faults.sort(key=lambda fault: random.Random(f"{salt} {fault}").random())
    return Prepared(shim, known, faults)


def mounts() -> bool:
    """Whether a disk can be mounted without privileges."""
    if not shutil.which("unshare"):
        return False
    command = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"]
    return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0


def fail(place: Place) -> Ended:
    """Make a run whose last node fails, so that it can be resumed."""
    return place.run(*RUN, FAULTS_FAIL="1")


def one(trial: Trial) -> None:
    prepared: Prepared = trial.prepared
    fault = prepared.faults[trial.number % len(prepared.faults)]
    if isinstance(fault, Full):
        full(trial, fault)
        return
    place = make(trial.folder / "p")
    state = trial.folder / "state"
    if fault.again:
        fail(place)
    write_state(state, fault)
    ended = place.run(*RUN, **shimmed(place, prepared.shim, state))
    fired, _, program, file = read_state(state)
    when = f"{fault}, at {program} {file.removeprefix(str(place.folder))}"
    rig.clean_words(trial, ended, when)
    if not fired:
        trial.count("faults that did not come to pass")
        trial.check(ended.code == 0, f"{fault}: nothing failed, but {ended}")
    else:
        trial.count(f"{fault.kind}: exit {ended.code}")
        judge(trial, fault, ended, program, file, when)
    nothing_half_done(trial, place, when)
    take_up(trial, place, when)


def judge(trial: Trial, fault: Fault, ended: Ended, program: str, file: str, when: str) -> None:
    """Check the exit code and the messages of a run in which a call failed."""
    if ended.code == 0:  # the failed call did not matter
        rig.right_outputs(trial, ended, trial.prepared.known, f"{when}, exit 0")
        return
    right = {77} if fault.error == errno.EACCES else {74}
    is_hidden = "history.db" in file and not fault.forever  # SQLite does not tell why, and the next write succeeds
    if is_hidden:
        right |= {74}
    if not program.startswith("python") or (fault.forever and "the script exited" in ended.err):
        right |= {1}  # a script failed, and nfrun cannot know why
    trial.check(ended.code in right, f"{when}: exit {ended.code} is not in {sorted(right)}: {ended}")
    if ended.out.strip() and "the report of events" not in ended.err:  # otherwise the rest may have succeeded
        trial.check(ended.document.get("status") == "failed", f"{when}: what status is this: {ended}")
    if not program.startswith("python"):
        return
    words = ended.err
    reason = os.strerror(fault.error)
    told = reason in words or (fault.error == errno.EACCES and "no permission" in words)
    told = told or (is_hidden and any(os.strerror(number) in words for number in (errno.EIO, errno.EROFS)))
    trial.check(told, f"{when}: nobody says '{reason}': {ended}")
    if output := _OUTPUT.search(file):
        if fault.kind in ("write", "create", "rename", "fsync", "chmod"):
            node = re.sub(r"\.\d+$", "", output["node"])
            trial.check(f"'{node}" in words, f"{when}: nobody names '{node}': {ended}")
            if fault.kind == "write":
                trial.check(re.search(r"[\d,]+ bytes", words), f"{when}: nobody says how many bytes: {ended}")
    else:
        names = {Path(file).name, Path(file).parent.name, "place/work"}
        if Path(file).name.startswith(".nfrun-"):  # a temporary file, such as the input of a script
            names |= {"input_", "the node"}
        if fault.forever:  # the first may not matter, as when scratch is removed; a later one is reported
            names |= {"cannot ", "the report of events"}
        trial.check(any(name in words for name in names), f"{when}: nobody names any of {sorted(names)}: {ended}")


def nothing_half_done(trial: Trial, place: Place, when: str) -> None:
    for path in rig.visible(place.folder / "place/work"):
        complaint = rig.torn(path)
        trial.check(not complaint, f"{when}: {complaint}")
    saved = place.folder / "place/out/text.csv"
    if saved.exists():
        whole = (place.folder / "source.csv").read_text().replace("a,b", '"a","b"').count("\n")
        trial.check(saved.read_text().count("\n") == whole, f"{when}: the file of the write node is not whole")
    left, _ = rig.await_gone(str(place.folder))
    trial.check(not left, f"{when}: {len(left)} processes are left")


def take_up(trial: Trial, place: Place, when: str) -> None:
    ended = place.run(*RUN)
    rig.right_outputs(trial, ended, trial.prepared.known, f"after {when}, taken up")


# -- full disks --------------------------------------------------------------------------------------------------------

_ON_A_DISK = """\
mount -t tmpfs -o size={kib}k tmpfs place && mkdir place/out || exit 99
"$@" > first.out 2> first.err
echo $? > first.code
mount -o remount,size=64m place
"$@" > second.out 2> second.err
echo $? > second.code
cp -r place kept
"""


def full(trial: Trial, fault: Full) -> None:
    place = make(trial.folder / "p")
    when = str(fault)
    if fault.kind == "disk":
        script = _ON_A_DISK.format(kib=fault.kib)
        ends = list(_both(place, ["unshare", "-rm", "sh", "-c", script]))
        if not trial.check(len(ends) == 2, f"{when}: hung"):
            return
        first, second = ends
        known = trial.prepared.known
        trial.check(second.code == 0 and rig.digests(second.document) == known, f"after {when}, taken up: {second}")
    else:
        import resource

        first = limited(place, fault.kib << 10, resource.RLIMIT_FSIZE)
        nothing_half_done(trial, place, when)
        take_up(trial, place, when)
    rig.clean_words(trial, first, when)
    trial.count(f"{fault.kind}: exit {first.code}")
    # 1: a script may fail before nfrun does.
    trial.check(first.code in (0, 1, 74), f"{when}: {first}")


def _both(place: Place, command: list[str]) -> Iterator[Ended]:
    import sys

    env = {**os.environ, **place.env, "PYTHONPATH": str(rig.ROOT)}
    rig.Started([*command, "sh", sys.executable, "-m", "nfrun", *RUN], place.folder, env).end()
    for name in ("first", "second"):
        code, out, err = (place.folder / f"{name}.{part}" for part in ("code", "out", "err"))
        if code.exists():
            yield Ended(int(code.read_text()), out.read_text(), err.read_text(errors="replace"))


def limited(place: Place, size: int, limit: int) -> Ended:
    """Make a run with a limit on the size of files."""
    import resource
    import sys

    env = {**os.environ, **place.env, "PYTHONPATH": str(rig.ROOT)}
    hard = resource.getrlimit(limit)[1]
    code = (
        f"import resource, os, sys; resource.setrlimit({limit}, ({size}, {hard})); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, sys.executable, "-m", "nfrun", *RUN]
    # The limit would apply to stream files too, so use pipes.
    done = subprocess.run(
        command, check=False, cwd=place.folder, env=env, capture_output=True, timeout=rig.HANG_SECONDS
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace"))


if __name__ == "__main__":
    rig.main(one, about=ABOUT, prepare=prepare, trials=100, every=lambda prepared: len(prepared.faults))
