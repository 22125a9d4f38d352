"""Whatever a module looks like: its dress does not count, and what counts is what is reached, each at its own place."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from nfrun.code.fingerprint import Fingerprints

NAME = re.compile(r"(?:def |async def |class )?(\w+)")


def module_of(rng: random.Random) -> list[tuple[str, list[str]]]:
    """The names and lines of functions, classes and constants that use one another; `f` is among them."""
    names = [*(f"n{i}" for i in range(rng.randrange(3, 10))), "f"]
    pieces: list[tuple[str, list[str]]] = []
    for name in rng.sample(names, len(names)):
        other, number = rng.choice(names), rng.randrange(1000, 9999)
        shapes = [
            [f"def {name}(x={number}, *y):", f"    z = [{other}(a) for a in y if a < {number + 1}]", "    return z"],
            [f"async def {name}():", f"    with {other}() as w:", f"        return {{'k{number}': w, **{other}}}"],
            [f"class {name}:", f"    size = {number}", "    def go(self, x):", f"        return {other}(self, x)"],
            [f"{name} = lambda x: {other} if x else {number}"],
            [f"def {name}(g):", "    def inner(x):", f"        return g({other}, x, b'{number}')", "    return inner"],
            # names that are others' too, but not here
            [f"def {name}({other}):", f"    return {other}({number})"],
        ]
        pieces.append((name, rng.choice(shapes)))
    return pieces


def dressed(pieces: list[tuple[str, list[str]]], rng: random.Random) -> str:
    """The same code with comments and white space, in a module with a docstring that nobody reads."""
    out = [rng.choice(["", '"""Of no consequence."""'])]
    for line in (line for _, lines in pieces for line in lines):
        indent = line[: len(line) - len(line.lstrip())]
        out += rng.choices(["", f"{indent}# {rng.random()}", "   "], k=rng.randrange(3))
        out.append(line.replace(", ", rng.choice([", ", " ,   "])) + rng.choice(["", "  ", f"  # {rng.random()}"]))
    return "\n".join(out)


def reached_by(pieces: list[tuple[str, list[str]]]) -> set[str]:
    """The names that `f` leads to, by a slow and plain reading that only knows what these modules look like."""
    bodies = {name: "\n".join(lines) for name, lines in pieces}
    reached: set[str] = set()
    left = ["f"]
    while left:
        name = left.pop()
        if name not in reached:
            reached.add(name)
            hidden = re.match(r"def \w+\((\w+)\)", bodies[name])
            left += [n for n in bodies if re.search(rf"\b{n}\b", bodies[name]) and not (hidden and hidden[1] == n)]
    return reached


@pytest.mark.parametrize("seed", range(60))
def test_no_dress_counts_and_every_number_that_is_reached_does(tmp_path: Path, seed: int) -> None:
    made = iter(range(1000))

    def of(text: str) -> dict[str, str]:
        folder = tmp_path / str(next(made))  # Python remembers for a moment what is in a folder
        folder.mkdir()
        (folder / "steps.py").write_text(text)
        return dict(Fingerprints(folder).of("steps", "f"))

    rng = random.Random(seed)
    pieces = module_of(rng)
    text = "\n".join(line for _, lines in pieces for line in lines)
    before = of(text)
    for _ in range(3):
        assert of(dressed(pieces, rng)) == before
    reached = reached_by(pieces)
    assert {name.removeprefix("steps:") for name in before} == reached
    start = 0
    for name, lines in pieces:
        end = start + len("\n".join(lines))
        for number in re.finditer(r"\d{4}", text[start:end]):
            a, b = start + number.start(), start + number.end()
            after = of(f"{text[:a]}{int(number[0]) % 9000 + 1000}{text[b:]}")
            differ = {part for part in after if after[part] != before[part]}
            assert differ == ({f"steps:{name}"} if name in reached else set())
        start = end + 1
