"""Runs the steps of `action.yml` as GitHub's runner does: expressions, shells, outputs; the actions that it uses are
pretended, with a cache and artifacts in memory.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
ACTION: Mapping[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
# What these actions take, as their own action.yml says.
TAKES = {
    "actions/setup-python@v7": {"python-version"},
    "actions/cache/restore@v5": {"path", "key", "restore-keys"},
    "actions/cache/save@v5": {"path", "key"},
    "actions/upload-artifact@v7": {"name", "path", "if-no-files-found", "retention-days"},
}
TOKEN = re.compile(r"\s*('(?:[^']|'')*'|[A-Za-z_][\w.-]*|==|!=|&&|\|\||!|[(),])")
OPERATORS = {"&&": " and ", "||": " or ", "!": " not ", "==": "==", "!=": "!=", "(": "(", ")": ")", ",": ","}


class StepFailed(Exception):
    """A pretended action fails."""


@dataclass
class Repository:
    """What outlives a job: entries of the cache, oldest first, and artifacts of one run, by name."""

    cache: dict[str, bytes] = field(default_factory=dict)
    artifacts: dict[str, dict[str, bytes]] = field(default_factory=dict)
    cache_is_down: bool = False


@dataclass
class Job:
    """One use of the action in a job, in the folder `workspace`. After `run`, the other fields have what came of it."""

    repository: Repository
    workspace: Path
    path: str
    inputs: Mapping[str, str]
    name: str = "test"
    index: int = 0
    total: int = 1
    attempt: int = 1
    skip: tuple[str, ...] = ()
    codes: dict[str, int] = field(default_factory=dict)  # of the steps with scripts, by name
    steps: dict[str, dict[str, str]] = field(default_factory=dict)  # outputs by id
    log: str = ""
    summary: str = ""
    failed: bool = False
    used: list[str] = field(default_factory=list)  # the actions, in order

    def run(self) -> Job:
        defaults = {name: declared.get("default", "") for name, declared in ACTION["inputs"].items()}
        assert self.inputs.keys() <= defaults.keys()
        self._values = {
            **{f"inputs.{name}": value for name, value in {**defaults, **self.inputs}.items()},
            "strategy.job-index": str(self.index),
            "strategy.job-total": str(self.total),
            "runner.os": "Linux",
            "runner.arch": "X64",
        }
        with tempfile.TemporaryDirectory() as temp:
            for step in ACTION["runs"]["steps"]:
                condition = step.get("if", "success()")
                if not re.search(r"\b(always|success)\(", condition):
                    condition = f"success() && ({condition})"
                if step["name"] not in self.skip and self._evaluate(condition):
                    self._step(step, Path(temp))
        return self

    @property
    def outputs(self) -> dict[str, str]:
        return {name: self._filled(output["value"]) for name, output in ACTION["outputs"].items()}

    def _step(self, step: Mapping[str, Any], temp: Path) -> None:
        outputs = self.steps.setdefault(step.get("id", step["name"]), {})
        try:
            if "uses" in step:
                values = {key: self._filled(value) for key, value in step["with"].items()}
                assert values.keys() <= TAKES[step["uses"]]
                self.used.append(step["uses"])
                outputs.update(self._use(step["uses"], values) or {})
            else:
                code = self._script(step, temp, outputs)
                self.codes[step["name"]] = code
                if code:
                    raise StepFailed(f"exit code {code}")
        except StepFailed:
            self.failed = self.failed or not step.get("continue-on-error")
        self._values.update({f"steps.{step.get('id')}.outputs.{key}": value for key, value in outputs.items()})

    def _script(self, step: Mapping[str, Any], temp: Path, outputs: dict[str, str]) -> int:
        script = temp / "script"
        script.write_text(self._filled(step["run"]))
        said, summary = temp / "output", temp / "summary"
        said.write_text("")
        summary.write_text("")
        env = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "GITHUB_", "NFRUN_"))},
            **{key: self._filled(value) for key, value in step.get("env", {}).items()},
            "PATH": self.path,
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_OUTPUT": str(said),
            "GITHUB_STEP_SUMMARY": str(summary),
            "GITHUB_JOB": self.name,
            "GITHUB_RUN_ID": "77",
            "GITHUB_RUN_ATTEMPT": str(self.attempt),
            "RUNNER_TEMP": str(temp),
        }
        shell = {"bash": ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail"], "python": ["python"]}[step["shell"]]
        command = [shutil.which(shell[0], path=self.path) or shell[0], *shell[1:], str(script)]
        with subprocess.Popen(
            command, cwd=self.workspace, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            (temp / "pid").write_text(str(process.pid))
            self.log += process.communicate()[0]
        outputs.update(line.split("=", 1) for line in said.read_text().splitlines())
        self.summary += summary.read_text()
        return process.returncode

    def _use(self, name: str, values: Mapping[str, str]) -> dict[str, str] | None:
        entries = self.repository.cache
        if "cache" in name and self.repository.cache_is_down:
            raise StepFailed("the cache does not answer")
        if name.startswith("actions/cache/restore"):
            prefixes = [values["key"], *values["restore-keys"].splitlines()]
            found = next((key for prefix in prefixes for key in reversed(entries) if key.startswith(prefix)), None)
            if found:
                with tarfile.open(fileobj=io.BytesIO(entries[found])) as archive:
                    archive.extractall(self.workspace, filter="fully_trusted")
            return {"cache-matched-key": found or ""}
        if name.startswith("actions/cache/save"):
            if values["key"] in entries:
                raise StepFailed("there is such an entry")
            with tarfile.open(fileobj=(packed := io.BytesIO()), mode="w") as archive:
                archive.add(self.workspace / values["path"], values["path"])
            entries[values["key"]] = packed.getvalue()
        if name.startswith("actions/upload-artifact"):
            if values["name"] in self.repository.artifacts:
                raise StepFailed("there is such an artifact")
            files = {file.name: file.read_bytes() for file in Path(values["path"]).iterdir()}
            if files:
                self.repository.artifacts[values["name"]] = files
                return {"artifact-url": f"https://example.org/{len(self.repository.artifacts)}"}
        return None

    def _filled(self, text: Any) -> str:
        return re.sub(r"\$\{\{(.*?)\}\}", lambda match: str(self._evaluate(match[1])), str(text))

    def _evaluate(self, expression: str) -> Any:
        """The value of an expression, with the operators and functions that the action has."""
        words, rest = [], expression.strip()
        while rest:
            match = TOKEN.match(rest)
            assert match, f"no expression: {expression}"
            words.append(match[1])
            rest = rest[match.end() :].strip()
        python = "".join(
            OPERATORS.get(word) or (repr(word[1:-1]) if word[0] == "'" else self._name(word)) for word in words
        )
        value = eval(python, {"always": lambda: True, "success": lambda: not self.failed})
        # Without a function of the state, a condition holds only while no step has failed.
        return (
            value if re.search(r"always\(|success\(", expression) or "==" not in python else value and not self.failed
        )

    def _name(self, word: str) -> str:
        return word if word in ("always", "success") else repr(self._values.get(word, ""))
