"""The functions that evals.yaml names. Its test only plans it."""

from typing import Any


def answer(questions: Any, url: str, template: str) -> Any:
    raise NotImplementedError


def judge(answer: Any) -> Any:
    raise NotImplementedError


def score(answers: Any) -> Any:
    raise NotImplementedError


def report(scores: Any) -> Any:
    raise NotImplementedError
