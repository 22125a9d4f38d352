"""Has a node print a gigabyte: as lines, without any newline, as random bytes; from a script, a thread, a process.

Whatever it is, the process of the run hardly grows, and the log has the first and the last MiB and counts the rest.
"""

from __future__ import annotations

from pathlib import Path

from tests.faults import rig
from tests.faults.rig import MARK, Place, Trial

ABOUT = (__doc__ or "").split("\n")[0]
SIZE = 1_000_000_000
MOST_GROWN = 20_000_000  # bytes
KEPT = 1 << 20

STEPS = """
import os, sys

def loud(what, size):
    pieces = {"lines": b"a line as people print it\\n" * 4000, "endless": b"x" * 100_000, "binary": os.urandom(100_000)}
    piece = pieces[what]
    while size > 0:
        size -= sys.stdout.buffer.write(piece[:size])
    sys.stdout.flush()
"""
SCRIPTS = {
    "lines": '(yes "a line as people print it" || true) | head -c $NFRUN_WITH_size',
    "endless": "head -c $NFRUN_WITH_size /dev/zero",
    "binary": "head -c $NFRUN_WITH_size /dev/urandom",
}
CASES = [(what, where) for what in SCRIPTS for where in ("script", "thread", "process")]
PIPELINE = "params: {{size: 0}}\nnodes:\n  loud: {{{node}, with: {{what: {what}, size: '${{{{ params.size }}}}'}}}}\n"


def one(trial: Trial) -> None:
    what, where = CASES[trial.number % len(CASES)]
    folder = trial.folder / "p"
    folder.mkdir()
    node = f"run: '{SCRIPTS[what]}'" if where == "script" else f"python: 'steps:loud', executor: {where}"
    (folder / "p.yaml").write_text(PIPELINE.format(node=node, what=what))
    (folder / "steps.py").write_text(STEPS)
    place = Place(folder, {MARK: str(folder)})
    peaks = []
    for size in (0, SIZE):
        ended = place.run("run", "p.yaml", "--json", "-q", "-p", f"size={size}")
        if not trial.check(ended.code == 0, f"{what} from a {where}: {ended}"):
            return
        peaks.append(ended.document["peak_rss_bytes"])
    grown = peaks[1] - peaks[0]
    trial.check(grown <= MOST_GROWN, f"{what} from a {where}: grown by {grown:,} bytes")
    trial.largest(f"MB grown, {what} from a {where}", grown / 1e6)
    log = Path(ended.document["nodes"]["loud"]["logs"]["stdout"]).read_bytes()
    left_out = f"\n… {SIZE - 2 * KEPT:,} bytes left out …\n".encode()
    trial.check(log[KEPT:-KEPT] == left_out, f"{what} from a {where}: the log has {len(log):,} bytes")


if __name__ == "__main__":
    rig.main(one, about=ABOUT, trials=len(CASES))
