"""What the source of a mapped function shows of what it takes, and what is told of one that cannot be mapped."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.core.errors import SpecError
from nfrun.core.map_spec import MapForm, MapSpec
from nfrun.core.pipeline import NodeSpec
from nfrun.nodes.arguments import check_columns
from nfrun.nodes.base import NodeError
from nfrun.pipeline_file.resolve import resolve


def cases() -> dict[str, list[str]]:
    """Each function with the settings of its node, and what its form is, or what is told."""
    found: dict[str, list[str]] = {}
    told: list[str] = []
    for line in Path(__file__).with_name("map_forms.txt").read_text().splitlines():
        if line.startswith("    "):
            told.append(line.strip())
        else:
            told = found[line] = []
    return found


CASES = cases()


def told(folder: Path, source: str, settings: str) -> list[str]:
    (folder / "steps.py").write_text(source.replace("⏎", "\n"))
    (folder / "rows.csv").write_text("a,b\n1,2\n")
    nodes = f'  rows: {{read: rows.csv}}\n  more: {{read: rows.csv}}\n  a: {{python: "steps:f", {settings}}}\n'
    (folder / "p.yaml").write_text(f"nodes:\n{nodes}")
    try:
        found = resolve(folder / "p.yaml", given={}, params_file=None, environ={}, run_id="r").pipeline.nodes["a"].map
        return [repr(found and found.form)]
    except SpecError as error:
        return [
            f"{found.span.line}:{found.span.column}: {found.message}" + (f" ({found.hint})" if found.hint else "")
            for found in error.diagnostics
        ]


@pytest.mark.parametrize("case", CASES)
def test_the_form_of_a_function_is_read_from_its_source(tmp_path: Path, case: str) -> None:
    source, _, settings = case.partition(" ## ")
    assert told(tmp_path, source, settings) == CASES[case]


def mapped(form: MapForm, **more: object) -> NodeSpec:
    map = MapSpec("texts", form=form, **more)  # type: ignore[arg-type]
    return NodeSpec("n", "python", "steps:f", (), {}, (), (), {}, map=map)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (mapped(MapForm(False, ("txt",))), "f() takes the column 'txt', which 'texts' does not have"),
        (mapped(MapForm(False, (), ("txt",))), "f() takes the column 'txt', which 'texts' does not have"),
        (mapped(MapForm(), by=("txt",)), "'map' of 'n' names the column 'txt', which 'texts' does not have"),
        (
            mapped(MapForm(False, ("id",)), keep=("txt",)),
            "'map' of 'n' names the column 'txt', which 'texts' does not have",
        ),
    ],
)
def test_a_column_that_the_input_lacks(node: NodeSpec, message: str) -> None:
    with pytest.raises(NodeError) as caught:
        check_columns(node, ["id", "text"])
    assert (str(caught.value), caught.value.details) == (message, "did you mean 'text'?")
    check_columns(node, ["id", "txt"])


def test_an_input_with_two_columns_of_one_name_is_not_mapped() -> None:
    with pytest.raises(NodeError, match="'texts' has two columns called 'a', and a map joins columns by name"):
        check_columns(mapped(MapForm()), ["a", "b", "a"])
