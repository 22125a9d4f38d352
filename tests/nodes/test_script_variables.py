"""Tests of the check of the variables that a script reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.core.errors import SpecError, render
from nfrun.pipeline_file.loader import read_pipeline

HEAD = """\
nodes:
  rows: {sql: select 1 as n}
  s:
    inputs: [rows]
    with: {threshold: 5}
    run: |
"""
MORE = "; 'inputs', 'with' and 'outputs' give more"
ALL = f"there is $NFRUN_INPUT_rows, $NFRUN_WITH_threshold, $NFRUN_OUTPUT{MORE}"


def diagnostics(text: str, folder: Path) -> list[str]:
    (folder / "p.yaml").write_text(text)
    try:
        read_pipeline(folder / "p.yaml")
    except SpecError as error:
        return [render(diagnostic).replace(f"{folder}/", "") for diagnostic in error.diagnostics]
    return []


def of_script(script: str, folder: Path) -> list[str]:
    return diagnostics(HEAD + "".join(f"      {line}\n" for line in script.splitlines()), folder)


def test_an_input_of_a_node_without_inputs(tmp_path: Path) -> None:
    (found,) = diagnostics("nodes:\n  rows: {sql: select 1 as n}\n  s: {run: cat $NFRUN_INPUT_rows}\n", tmp_path)
    assert found.startswith("p.yaml:3:17: the script reads $NFRUN_INPUT_rows, which is not set for this node\n")
    assert found.endswith(f"^ there is $NFRUN_OUTPUT{MORE}")


@pytest.mark.parametrize(
    ("line", "name", "hint"),
    [
        ("echo $NFRUN_WITH_thresold", "NFRUN_WITH_thresold", ALL),
        ("echo ${NFRUN_WITH_thresold}", "NFRUN_WITH_thresold", ALL),
        ("echo ${NFRUN_WITH_thresold%.csv}", "NFRUN_WITH_thresold", ALL),
        ("echo $NFRUN_WITH_threshold ${#NFRUN_WITH_t}", "NFRUN_WITH_t", ALL),
        ("echo $NFRUN_WITH_thresold-5", "NFRUN_WITH_thresold", ALL),
        ("cp $NFRUN_INPUT_rows_copy x", "NFRUN_INPUT_rows_copy", ALL),
        ("cat $NFRUN_INPUT_threshold", "NFRUN_INPUT_threshold", ALL),
        ("cat '#' \"#\" $NFRUN_INPUT_other", "NFRUN_INPUT_other", ALL),
        ("cp x $NFRUN_OUTPUTS", "NFRUN_OUTPUTS", ALL),
        ("cp x $NFRUN_OUTPUT_x", "NFRUN_OUTPUT_x", ALL),
        ("bash -c 'cat $NFRUN_INPUT_row'", "NFRUN_INPUT_row", ALL),
        ("""awk '{ print ENVIRON["NFRUN_WITH_x"] }'""", "NFRUN_WITH_x", ALL),
        ("""python3 -c 'import os; os.environ["NFRUN_WITH_x"]'""", "NFRUN_WITH_x", ALL),
        ("""python3 -c 'import os; os.getenv("NFRUN_WITH_x")'""", "NFRUN_WITH_x", ALL),
        ("node -e 'process.env.NFRUN_WITH_x'", "NFRUN_WITH_x", ALL),
        ("""python3 -c 'import os; os.environ.get("NFRUN_WITH_x")'""", "NFRUN_WITH_x", ALL),
        ("""python3 -c 'from os import environ as e; e["NFRUN_WITH_x"]'""", "NFRUN_WITH_x", ALL),
        ("""ruby -e 'ENV.fetch("NFRUN_WITH_x")'""", "NFRUN_WITH_x", ALL),
        ("printenv NFRUN_WITH_x", "NFRUN_WITH_x", ALL),
        ("echo $NFRUN_WITH", "NFRUN_WITH", ALL),
        ("echo $NFRUN_INPUT", "NFRUN_INPUT", ALL),
    ],
)
def test_a_name_that_the_node_does_not_have(tmp_path: Path, line: str, name: str, hint: str) -> None:
    (found,) = of_script(f"echo begin  # $NFRUN_WITH_no\n{line}", tmp_path)
    column = 7 + line.rindex(name)
    assert found == (
        f"p.yaml:8:{column}: the script reads ${name}, which is not set for this node\n"
        f"    8 |       {line}\n      | {' ' * (column - 1)}{'^' * len(name)} {hint}"
    )


@pytest.mark.parametrize(
    "script",
    [
        "cp $NFRUN_INPUT_rows ${NFRUN_OUTPUT}; echo $NFRUN_RUN $NFRUN_NODE $NFRUN_ATTEMPT ${NFRUN_WITH_threshold}",
        "echo ${NFRUN_WITH_x:-5} ${NFRUN_WITH_x-5} ${NFRUN_WITH_x:+5} ${NFRUN_WITH_x:?no} ${NFRUN_WITH_x:=5}",
        "# $NFRUN_WITH_x, and don't\necho 'it''s' # $NFRUN_WITH_x\ntrue;# $NFRUN_WITH_x",
        "NFRUN_WITH_x=3; echo $NFRUN_WITH_x",
        "export NFRUN_WITH_x=3\nfor NFRUN_WITH_y in 1; do echo $NFRUN_WITH_x $NFRUN_WITH_y; done",
        "read -r NFRUN_WITH_x\necho $NFRUN_WITH_x",
        "echo \\$NFRUN_WITH_x",
        'eval "echo \\$NFRUN_WITH_$name"; echo ${!NFRUN_WITH_@}',
        "echo $NFRUN_DEBUG $NFRUN_CUSTOM",
        "echo NFRUN_WITH_x",
        """python3 -c 'import os; os.getenv("NFRUN_WITH_x", "5"); os.environ.get("NFRUN_WITH_y", "")'""",
        """python3 -c 'import os; os.environ["NFRUN_WITH_x"] = "1"'""",
    ],
)
def test_scripts_without_a_mistake(tmp_path: Path, script: str) -> None:
    assert of_script(script, tmp_path) == []


def test_outputs_with_names(tmp_path: Path) -> None:
    script = "run: 'touch $NFRUN_OUTPUT $NFRUN_OUTPUT_x $NFRUN_OUTPUT_y'"
    assert diagnostics(f"nodes:\n  a: {{outputs: [x], {script.replace(' $NFRUN_OUTPUT_y', '')}}}\n", tmp_path) == []
    (found,) = diagnostics(f"nodes:\n  a: {{outputs: [x, y], {script}}}\n", tmp_path)
    assert found.startswith("p.yaml:2:37: the script reads $NFRUN_OUTPUT, which is not set for this node\n")
    assert found.endswith(f"^ there is $NFRUN_OUTPUT_x, $NFRUN_OUTPUT_y{MORE}")


def test_each_place_is_named(tmp_path: Path) -> None:
    found = of_script("echo $NFRUN_WITH_xy NFRUN_WITH_x $NFRUN_WITH_x\n\necho ${NFRUN_WITH_x}", tmp_path)
    assert [line.partition(": ")[0] for line in found] == ["p.yaml:7:13", "p.yaml:7:41", "p.yaml:9:14"]


def test_a_wrong_input_is_not_reported_twice(tmp_path: Path) -> None:
    text = "nodes:\n  a: {inputs: [nothing], run: 'cat $NFRUN_INPUT_nothing > $NFRUN_OUTPUT'}\n"
    assert len(diagnostics(text, tmp_path)) == 1


def test_other_variables_are_not_checked(tmp_path: Path) -> None:
    assert of_script("echo $NFRUN_STATUS $NFRUN_ATEMPT $NFRUN_MINE", tmp_path) == []
