"""Reads the budgets of a file, and checks what nodes take of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath

from nfrun.core.budgets import Budget
from nfrun.core.errors import Diagnostic, Problem
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.core.text import did_you_mean, ellipsize, format_size
from nfrun.core.values import replace
from nfrun.pipeline_file.findings import Findings
from nfrun.pipeline_file.parameters import env_text
from nfrun.pipeline_file.settings import setting_path
from nfrun.pipeline_file.yaml.document import Document, Keys, mapping
from nfrun.system.runtime import available_memory
from nfrun.system.units import parse_size

_MEMORY = "memory"
_PERIODS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_RATE = re.compile(r"([0-9.]+)(k?)/(s|min|h)")
_SMALLEST_SIZE = 1000  # bytes: a smaller number lacks its unit
# The variables of scripts are called like budgets, so no budget is called like another variable.
_TAKEN = re.compile("RUN|NODE|ATTEMPT|OUTPUT|STATUS|FAILED|REPORT|PROFILE|CACHE_SIZE|(INPUT|OUTPUT|WITH)_.*")


def read_budgets(found: Findings, nodes: Mapping[str, NodeSpec]) -> dict[str, Budget]:
    """Return the budgets at the top of a file, without those that have a problem.

    Rejects amounts of `nodes` above them. Those made by expressions are checked once they are known.
    """
    budgets: dict[str, Budget] = {}
    names: dict[str, str] = {}
    for name, value in mapping(found.document.root.get("resources")).items():
        path: Keys = ("resources", name)
        if path in found.bad:
            continue
        first, text = names.setdefault(name.lower(), name), env_text(value)
        if rate := _RATE.fullmatch(text):
            budget = Budget(float(rate[1]) * (1000 if rate[2] else 1), text, per=_PERIODS[rate[3]])
        else:
            is_size, amount = isinstance(value, str) or name == _MEMORY, value
            budget = Budget(float(parse_size(amount) if isinstance(amount, str) else amount), text, is_size=is_size)
        if name == "cpu":
            found.report(path, "the budget of 'cpu' is -j", "remove it, and give -j to the command", at_key=True)
        elif _TAKEN.fullmatch(name.upper()):
            what = f"'{name}' cannot be the name of a budget: $NFRUN_{name.upper()} is another variable"
            found.report(path, what, "rename it", at_key=True)
        elif first != name:
            found.report(path, f"'{name}' differs from '{first}' only in case", "rename one", at_key=True)
        elif budget.per and name == _MEMORY:
            found.report(path, "the budget of 'memory' is a size, not a rate", "for example memory: 12GB")
        elif budget.is_size and 0 < budget.amount < _SMALLEST_SIZE:
            found.report(path, *_no_size(name, budget.amount))
        else:
            budgets[name] = budget
    for wrong in check_amounts(nodes, budgets, found.document) if ("resources",) not in found.bad else ():
        found.add(wrong)
    return budgets


def _no_size(name: str, amount: float) -> tuple[str, str]:
    return f"'{name}' is a size, and this is {amount:g}", f"write {amount:g}GB"


def check_amounts(
    nodes: Mapping[str, NodeSpec], budgets: Mapping[str, Budget], document: Document, run: str = ""
) -> Iterator[Problem]:
    """Yield what is wrong with the amounts that nodes take, each with its path in the document.

    `run` is the name of the file that has the budgets, if it is not that of the nodes.
    """
    for spec in nodes.values():
        for name, amount in spec.amounts.items():
            path = setting_path(document.root, (spec.section, spec.local_name), ("resources", name))
            budget = budgets.get(name)
            if budget is None and name != _MEMORY:
                cpu = ["cpu"] if name.startswith("c") else []  # 'gpu' is no misspelling of it
                example = f"resources: {{{ellipsize(name)}: {max(1, amount):g}}}"
                instead = f"say at the top of {run or 'the file'} how much there is: {example}"
                hint = did_you_mean(name, [*cpu, _MEMORY, *budgets], instead)
                yield Problem(path, f"there is no budget for '{ellipsize(name)}'", hint, at_key=True)
            elif (budget is None or budget.is_size) and amount < _SMALLEST_SIZE:
                yield Problem(path, *_no_size(name, amount))
            elif budget is not None and amount > budget.most:
                there = budget.text or _shown(budget, budget.amount)
                what = f"'{spec.declared}' takes {_shown(budget, amount)} of '{name}', and there is {there}"
                yield Problem(path, what)


def refused_amounts(pipeline: Pipeline, document: Document, budgets: Mapping[str, Budget]) -> Iterator[Diagnostic]:
    """Yield what is wrong with the amounts that nodes take of the budgets, in all files of the pipeline."""
    nodes: dict[str, dict[str, NodeSpec]] = {}
    for name, spec in pipeline.nodes.items():
        if spec.amounts:
            nodes.setdefault(spec.source.file, {})[name] = spec
    for file, specs in nodes.items():
        own = document.of_file(file)
        run = "" if own is document else PurePath(document.file).name
        for found in check_amounts(specs, budgets, own, run):
            yield own.told(found)


def _shown(budget: Budget, amount: float) -> str:
    return format_size(amount) if budget.is_size else f"{amount:.15g}"


def with_memory(pipeline: Pipeline, *, far: bool = False) -> Pipeline:
    """Return the pipeline with the machine's memory as a budget, if nodes take memory and the file gives no budget.

    If nodes may run `far` from this machine, the budget is at least what a node takes.
    """
    takes = [spec.amounts[_MEMORY] for spec in pipeline.nodes.values() if _MEMORY in spec.amounts]
    if _MEMORY in pipeline.budgets or not takes:
        return pipeline
    there = float(available_memory())
    budget = Budget(max(there, *takes) if far else there, is_size=True)
    return replace(pipeline, budgets={**pipeline.budgets, _MEMORY: budget})
