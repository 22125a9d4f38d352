"""The key `profiles`, and what a profile changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.core.errors import SpecError
from nfrun.core.pipeline import Pipeline
from nfrun.pipeline_file.resolve import resolve

FILE = """\
params: {source: a, n: {type: integer, default: 1, enum: [1, 2]}, go: false}
env: {TZ: UTC}
defaults: {retries: 1, resources: {cpu: 2}, env: {LOG: info, B: b}}
nodes:
  a: {run: x, with: {source: "${{ params.source }}", n: "${{ params.n }}"}}
  b: {run: x, inputs: a, if: "${{ params.go }}", retries: 5, env: {LOG: debug}}
profiles:
  dev: {env: {TZ: CET}}
  prod:
    params: {source: z, n: 2, go: true}
    env: {WHERE: "${{ params.source }}/x"}
    defaults: {executor: process, retries: 3, timeout: 1h, env: {LOG: warning}}
    jobs: 16
    work: w
"""


def bound(folder: Path, text: str, profile: str | None = None, environ: dict[str, str] | None = None) -> Pipeline:
    file = folder / "p.yaml"
    file.write_text(text, encoding="utf-8")
    given = {"n": "1"} if profile == "given" else {}
    profile = "prod" if profile == "given" else profile
    environ = environ or {}
    return resolve(file, given=given, params_file=None, environ=environ, run_id="r", profile=profile).pipeline


def told(folder: Path, text: str, profile: str | None = None) -> str:
    with pytest.raises(SpecError) as caught:
        bound(folder, text, profile)
    found = caught.value.diagnostics
    return "\n".join(f"{d.span.line}:{d.span.column}: {d.message}{f' ({d.hint})' if d.hint else ''}" for d in found)


def test_without_a_profile_nothing_of_them_counts(tmp_path: Path) -> None:
    pipeline = bound(tmp_path, FILE)
    assert (pipeline.profile, pipeline.jobs, pipeline.work) == ("", None, "")
    assert pipeline.values == {"source": "a", "n": 1, "go": False}
    assert pipeline.env == {"TZ": "UTC"}
    assert list(pipeline.nodes) == ["a"]


@pytest.mark.parametrize("environ", [{}, {"NFRUN_PROFILE": "prod"}, {"NFRUN_PROFILE": "dev"}])
def test_a_profile_is_laid_over_the_file(tmp_path: Path, environ: dict[str, str]) -> None:
    by_variable = environ.get("NFRUN_PROFILE") == "prod"
    pipeline = bound(tmp_path, FILE, None if by_variable else "prod", environ)
    assert (pipeline.profile, pipeline.jobs, pipeline.work) == ("prod", 16, "w")
    assert pipeline.values == {"source": "z", "n": 2, "go": True}
    assert pipeline.env == {"TZ": "UTC", "WHERE": "z/x"}
    a, b = pipeline.nodes.values()
    assert (a.executor, a.retry.max, a.timeout, a.cpu) == ("process", 3, 3600.0, 2.0)
    assert (a.env, b.env) == ({"LOG": "warning", "B": "b"}, {"LOG": "debug", "B": "b"})
    assert (b.retry.max, b.timeout) == (5, 3600.0)


def test_what_is_given_wins_over_the_profile(tmp_path: Path) -> None:
    assert bound(tmp_path, FILE, "given").values == {"source": "z", "n": 1, "go": True}


WRONG = {
    "params: {source: z, publsh: true}": "3:23: the pipeline has no parameter 'publsh' (did you mean 'publish'?)",
    "params: {x: 1}": "3:12: the pipeline has no parameter 'x' (its parameters: source, n, publish)",
    "params: {source: 1}": "3:20: the parameter 'source' must be of type string, not integer",
    "params: {n: a}": "3:15: the parameter 'n' must be of type integer, not string",
    "params: {n: 3}": "3:15: the parameter 'n' must be one of 1, 2",
    "params: {n: }": "3:12: 'n' is empty",
    "params: []": "3:11: 'params' must be a mapping, not a list (for example params: {out: /srv/out})",
    'params: {source: "${{ env.X }}"}': "3:21: an expression is not evaluated here (expressions stand in with, "
    "env, files, if, timeout, retries, resources, executor, cache, map, read, write)",
    "nodes: {}": "3:3: 'nodes' is not a key of 'p' (there is params, env, defaults, jobs, work, resources)",
    "matrix: {a: [1]}": "3:3: 'matrix' is not a key of 'p' (there is params, env, defaults, jobs, work, resources)",
    "retries: 3": "3:3: 'retries' is not a key of 'p' (there is params, env, defaults, jobs, work, resources)",
    "slots: 3": "3:3: 'slots' is not a key of 'p' (there is params, env, defaults, jobs, work, resources)",
    "name: x": "3:3: 'name' is not a key of 'p' (there is params, env, defaults, jobs, work, resources)",
    "jobs: 0": "3:9: 'jobs' must be at least 1, not 0",
    "jobs: auto": "3:9: 'jobs' must be a whole number, not 'auto' (for example jobs: 16)",
    "jobs: 20000": "3:9: 'jobs' must be at most 10000, not 20000",
    "work: ''": "3:9: 'work' is empty (for example work: /srv/nfrun)",
    'work: "${{ env.W }}"': "3:10: an expression is not evaluated here (expressions stand in with, env, files, "
    "if, timeout, retries, resources, executor, cache, map, read, write)",
    "env: {A: []}": "3:12: 'A' must be a string, a number or true or false, not a list",
    'env: {A: "${{ params.q }}"}': "3:13: 'params' has no 'q' (there is source, n, publish)",
    "defaults: {retry: 1}": "3:14: 'retry' is not a key of 'defaults' (did you mean 'retries'?)",
    "defaults: {timeout: 400d}": "3:23: 'timeout' is longer than a year",
    "defaults: {timeout: 5 moons}": "3:23: 'timeout' cannot be '5 moons' (write 200ms, 30s, 10m, 1.5h, or a number of "
    "seconds)",
    'defaults: {retries: "${{ params.q }}"}': "3:24: 'params' has no 'q' (there is source, n, publish)",
    "resources: {cpu: 2}": "3:15: the budget of 'cpu' is -j (remove it, and give -j to the command)",
    "resources: {memory: 3}": "3:23: 'memory' is a size, and this is 3 (write 3GB)",
    "resources: {memory: 3/s}": "3:23: the budget of 'memory' is a size, not a rate (for example memory: 12GB)",
    "resources: {output: 1}": "3:15: 'output' cannot be the name of a budget: $NFRUN_OUTPUT is another variable "
    "(rename it)",
    "resources: {gpu: 1, GPU: 2}": "3:23: 'GPU' differs from 'gpu' only in case (rename one)",
    "resources: {gpu: -1}": "3:20: 'gpu' must be at least 0, not -1",
    "resources: {gpu: two}": "3:20: 'gpu' cannot be 'two' (write a number, a size such as 12GB, or a rate such as "
    "50/s, 3000/min or 10/h)",
    "resources: []": "3:14: 'resources' must be a mapping, not a list (for example resources: {gpu: 1, api: 50/s})",
    "": "2:12: 'p' is empty (for example p: {jobs: 16})",
}

USED = [
    *("resources: {cpu: 2}", "resources: {memory: 3}", "resources: {memory: 3/s}", "resources: {output: 1}"),
    *("resources: {gpu: 1, GPU: 2}", "defaults: {timeout: 400d}"),
]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_in_a_profile_is_told(tmp_path: Path, text: str) -> None:
    """Budgets, and durations beyond the schema, are told where the profile is used, all others in any case."""
    file = """params: {source: a, n: {type: integer, default: 1, enum: [1, 2]}, publish: false}
%s
nodes: {a: {run: x}}
"""
    profile = f"profiles: {{p: {{\n  {text}\n }}}}\n" if text else "profiles: {p: }\n"
    file = (file % profile).replace("\n\n", "\n")
    assert told(tmp_path, file, "p") == WRONG[text]
    assert text in USED or told(tmp_path, file) == WRONG[text]


def test_a_wrong_value_of_the_profile_that_is_used_is_told_once_where_it_stands(tmp_path: Path) -> None:
    timeout = FILE.replace("timeout: 1h", "timeout: 400d")
    assert told(tmp_path, timeout, "prod") == "12:56: 'timeout' is longer than a year"
    evaluated = FILE.replace("timeout: 1h", 'timeout: "${{ params.n }}000d"')
    assert told(tmp_path, evaluated.replace("n: 2", "n: 1"), "prod") == "12:56: 'timeout' is longer than a year"
    failing = FILE.replace("params.source }}/x", "params.source.x }}/x")
    assert told(tmp_path, failing, "prod") == ("11:19: 'params.source.x': there is no 'x'")


def test_a_profile_that_is_not_there(tmp_path: Path) -> None:
    assert told(tmp_path, FILE, "prd") == "0:0: there is no profile 'prd'; did you mean 'prod'?"
    assert told(tmp_path, FILE, "xyz") == "0:0: there is no profile 'xyz'; there is dev, prod"
    assert told(tmp_path, "nodes: {a: {run: x}}\n", "prod") == (
        "0:0: there is no profile 'prod'; the file has no profiles"
    )
