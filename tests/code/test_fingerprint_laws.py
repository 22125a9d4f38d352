"""Laws of fingerprints over random modules: layout does not count; a change of reached code shows in its definition."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from random_seeds import seeds

from nfrun.code.fingerprint import Fingerprints

NAME = re.compile(r"(?:def |async def |class )?(\w+)")


def module_of(rng: random.Random) -> list[tuple[str, list[str]]]:
    """The names and lines of random functions, classes and constants that use one another. One of them is `f`."""
    names = [*(f"n{i}" for i in range(rng.randrange(3, 10))), "f"]
    definitions: list[tuple[str, list[str]]] = []
    for name in rng.sample(names, len(names)):
        other, number = rng.choice(names), rng.randrange(1000, 9999)
        shapes = [
            [f"def {name}(x={number}, *y):", f"    z = [{other}(a) for a in y if a < {number + 1}]", "    return z"],
            [f"async def {name}():", f"    with {other}() as w:", f"        return {{'k{number}': w, **{other}}}"],
            [f"class {name}:", f"    size = {number}", "    def go(self, x):", f"        return {other}(self, x)"],
            [f"{name} = lambda x: {other} if x else {number}"],
            [f"def {name}(g):", "    def inner(x):", f"        return g({other}, x, b'{number}')", "    return inner"],
            # the argument shadows the other definition
            [f"def {name}({other}):", f"    return {other}({number})"],
        ]
        definitions.append((name, rng.choice(shapes)))
    return definitions


def reformatted(definitions: list[tuple[str, list[str]]], rng: random.Random) -> str:
    """The same code with other comments and white space, and with or without a module docstring."""
    out = [rng.choice(["", '"""Of no consequence."""'])]
    for line in (line for _, lines in definitions for line in lines):
        indent = line[: len(line) - len(line.lstrip())]
        out += rng.choices(["", f"{indent}# {rng.random()}", "   "], k=rng.randrange(3))
        out.append(line.replace(", ", rng.choice([", ", " ,   "])) + rng.choice(["", "  ", f"  # {rng.random()}"]))
    return "\n".join(out)


def reached_from_f(definitions: list[tuple[str, list[str]]]) -> set[str]:
    """The names that `f` reaches, found by a slow and simple search that works for these modules only."""
    bodies = {name: "\n".join(lines) for name, lines in definitions}
    reached: set[str] = set()
    to_visit = ["f"]
    while to_visit:
        name = to_visit.pop()
        if name not in reached:
            reached.add(name)
            shadowed = re.match(r"def \w+\((\w+)\)", bodies[name])
            to_visit += [
                n for n in bodies if re.search(rf"\b{n}\b", bodies[name]) and not (shadowed and shadowed[1] == n)
            ]
    return reached


@pytest.mark.parametrize("seed", seeds(12, 60))
def test_layout_does_not_count_and_every_reached_number_does(tmp_path: Path, seed: int) -> None:
    folder_numbers = iter(range(1000))

    def fingerprint_of(text: str) -> dict[str, str]:
        folder = tmp_path / str(next(folder_numbers))  # a new folder each time: Python caches it for a moment
        folder.mkdir()
        (folder / "steps.py").write_text(text)
        return dict(Fingerprints(folder).of("steps", "f"))

    rng = random.Random(seed)
    definitions = module_of(rng)
    text = "\n".join(line for _, lines in definitions for line in lines)
    before = fingerprint_of(text)
    for _ in range(3):
        assert fingerprint_of(reformatted(definitions, rng)) == before
    reached = reached_from_f(definitions)
    assert {name.removeprefix("steps:") for name in before} == reached
    start = 0
    for name, lines in definitions:
        end = start + len("\n".join(lines))
        for number in re.finditer(r"\d{4}", text[start:end]):
            first, last = start + number.start(), start + number.end()
            after = fingerprint_of(f"{text[:first]}{int(number[0]) % 9000 + 1000}{text[last:]}")
            changed = {part for part in after if after[part] != before[part]}
            assert changed == ({f"steps:{name}"} if name in reached else set())
        start = end + 1
