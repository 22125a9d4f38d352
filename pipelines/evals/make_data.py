"""Makes `data/questions.csv`: questions of four kinds with their answers. Run it to write the file again."""

from __future__ import annotations

import csv
import random
from pathlib import Path

WORDS = (
    *("harbour", "kettle", "lantern", "meadow", "orchard", "pebble", "quarry"),
    *("river", "saddle", "thistle", "umbrella", "willow", "anchor", "bramble"),
)
COUNT = 50


def questions() -> list[dict[str, str]]:
    """Return the questions: `id`, `topic`, `question` and `expected`, the same each time."""
    chance, rows = random.Random(7), list[dict[str, str]]()
    for number in range(COUNT):
        topic = ("plus", "times", "letters", "backwards")[number % 4]
        word, a, b = WORDS[number // 4], chance.randint(11, 99), chance.randint(3, 99)
        question, expected = {
            "plus": (f"What is {a} plus {b}?", str(a + b)),
            "times": (f"What is {a} times {b}?", str(a * b)),
            "letters": (f"How many letters has '{word}'?", str(len(word))),
            "backwards": (f"What is '{word}' backwards?", word[::-1]),
        }[topic]
        rows.append({"id": f"q{number + 1:02}", "topic": topic, "question": question, "expected": expected})
    return rows


if __name__ == "__main__":
    with (Path(__file__).parent / "data" / "questions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["id", "topic", "question", "expected"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(questions())
