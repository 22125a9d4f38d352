"""Drops what was not synced when a run is killed, as a power loss may, and starts the run again.

Promised: with `--durable` no finished node runs again, and what `write` nodes have written stays. Without it, nodes may
run again. In both cases the results are right, and the database is whole.

The library `synced.c` keeps what each sync puts on the disk. In half of the trials all else is lost. In the others each
file and each folder has, by chance, what is synced or what is there.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.faults import kill, mixed, rig
from tests.faults.processes import kill as kill_all
from tests.faults.rig import LOG, Setting, Trial

ABOUT = (__doc__ or "").split("\n")[0]
_AT_FDCWD, _MOST_KEY = -100, 64


@dataclass(frozen=True, slots=True)
class Prepared:
    known: mixed.Known
    library: Path


class Disk:
    """What is on the disk of a folder: a copy of each file, and the names in each folder, by their keys."""

    def __init__(self, folder: Path, synced: Path, library: Path) -> None:
        """Keep all that is in the folder now."""
        self._folder, self._synced = folder, synced
        self._library = ctypes.CDLL(str(library))
        self.env = {"LD_PRELOAD": str(library), "FAULTS_BELOW": str(folder), "FAULTS_SYNCED": str(synced)}
        synced.mkdir()
        for above, _, names in os.walk(folder):
            for path in (Path(above), *(Path(above, name) for name in names)):
                file = os.open(path, os.O_RDONLY)
                self._library.keep_synced(file, os.fsencode(synced))
                os.close(file)

    def lose_power(self, trial: Trial, share: float) -> None:
        """Leave what is synced. By a chance of `share`, a file or folder has what is there now instead."""
        before = self._folder.rename(self._folder.with_name("before"))
        there = {}
        for above, folders, names in os.walk(before):
            there |= {self._key(Path(above, name))[1]: Path(above, name) for name in (*folders, *names)}
        root = self._key(before)[1]
        self._make("d", root, self._folder, there | {root: before}, trial, share)

    def _key(self, path: Path) -> tuple[str, str]:
        """Return what kind of file it is, and its key."""
        key = ctypes.create_string_buffer(_MOST_KEY)
        return chr(self._library.key_at(_AT_FDCWD, os.fsencode(path), key)), key.value.decode()

    def _make(self, kind: str, key: str, target: Path, there: dict[str, Path], trial: Trial, share: float) -> None:
        now, synced = there.get(key), self._synced / key
        has_now = now is not None and trial.random.random() < share
        if kind == "l":
            if now is not None:
                target.symlink_to(now.readlink())
        elif kind == "d":
            target.mkdir()
            if has_now and now is not None:
                entries = [(*self._key(path), path.name) for path in sorted(now.iterdir())]
            else:
                entries = [tuple(line.split(" ", 2)) for line in self._lines(synced)]  # type: ignore[misc]
            for inner, inner_key, name in entries:
                self._make(inner, inner_key, target / name, there, trial, share)
        elif has_now and now is not None:
            shutil.copyfile(now, target)
        elif synced.exists():
            shutil.copyfile(synced, target)
        else:
            trial.count("files that had no content any more")
            target.touch()
        if now is not None and kind != "l":
            shutil.copymode(now, target)

    @staticmethod
    def _lines(synced: Path) -> list[str]:
        return os.fsdecode(synced.read_bytes()).splitlines() if synced.exists() else []


def prepare(setting: Setting) -> Prepared:
    return Prepared(mixed.know(setting.folder / "p"), rig.compiled("synced.c", setting.folder / "shim"))


def one(trial: Trial) -> None:
    prepared: Prepared = trial.prepared
    place = mixed.make(trial.folder / "p")
    durable = ("--durable",) if trial.random.random() < 0.6 else ()
    share = trial.random.choice((0.0, 0.5))
    finished: set[str] = set()
    for number in range(trial.random.randrange(1, 3)):
        when = kill.moment(trial.random, prepared.known.seconds)
        disk = Disk(place.folder, trial.folder / f"synced.{number}", prepared.library)
        events, log = trial.folder / f"events.{number}", trial.logs / f"log.{number}"
        given = ("--json", "--events", str(events), *durable)
        started = place.start("run", mixed.FILE, *given, **disk.env, **{LOG: str(log)})
        when.wait(started, events)
        started.kill()
        kill_all(rig.marked(str(place.folder)))
        rig.await_gone(str(place.folder))
        started.end()
        disk.lose_power(trial, share)
        rig.remove(trial.folder / "before")
        kill.judge_log(trial, log, events, finished, f"start {number}")
        finished |= kill.finished_in(events) if durable else set()
        trial.count(f"losses of power {' '.join(durable)}")
    told = f"power lost {when} {' '.join(durable)}, {share:.0%} of what is not synced is there"
    trial.count("nodes finished before the power was lost, durably", len(finished))
    events, log = trial.folder / "events", trial.logs / "log"
    ended = place.run("run", mixed.FILE, "--json", "--events", str(events), **{LOG: str(log)})
    kill.judge_log(trial, log, events, finished, told)
    rig.clean_words(trial, ended, told)
    rig.right_outputs(trial, ended, prepared.known.outputs, told)
    trial.check(mixed.written(place.folder) == prepared.known.written, f"{told}: write nodes wrote something else")
    trial.check("history.db is damaged" not in ended.err, f"{told}: {ended}")


if __name__ == "__main__":
    rig.main(one, about=ABOUT, prepare=prepare, trials=300)
