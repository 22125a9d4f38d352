"""Lets threads of nodes in worker processes log large lines while their node returns.

Promised: the node runs once, and each line is that of the node that logged it.
"""

from __future__ import annotations

from tests.faults import rig
from tests.faults.rig import MARK, Place, Trial

ABOUT = (__doc__ or "").split("\n")[0]
NODES = "abcdef"
STEPS = """
import random
import threading
import time

def talk(context, letter, seed):
    chance = random.Random(seed)
    sizes = [chance.randint(1, 60_000) for _ in range(6)]
    def log():
        for size in sizes:
            context.log.info(letter * size)
    for _ in range(2):
        threading.Thread(target=log, daemon=True).start()  # left running
    time.sleep(chance.uniform(0, 0.02))
    return {"letter": letter}
"""


def one(trial: Trial) -> None:
    folder = trial.folder / "p"
    folder.mkdir()
    (folder / "steps.py").write_text(STEPS)
    nodes = [
        f"  {name}: {{python: 'steps:talk', with: {{letter: {name}, seed: {trial.random.random()}}}}}\n"
        for name in NODES
    ]
    (folder / "p.yaml").write_text("defaults: {executor: process}\nnodes:\n" + "".join(nodes))
    ended = Place(folder, {MARK: str(folder)}).run("run", "p.yaml", "--json", "--quiet", "--events", "events.jsonl")
    rig.clean_words(trial, ended, "late logs")
    trial.check(ended.code == 0, f"late logs: {ended}")
    for event in rig.events_of(folder / "events.jsonl"):
        trial.check(event["event"] != "node_retrying", f"a node ran twice: {event}")
        if event["event"] == "node_logged":
            trial.count("lines")
            trial.check(set(event["text"]) == set(event["node"]), f"a line of {event['node']} is mixed up")


if __name__ == "__main__":
    rig.main(one, about=ABOUT, trials=500)
