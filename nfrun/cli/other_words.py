"""Has the commands and options of dbt, DVC, Make and Snakemake, and what to type in place of them."""

from __future__ import annotations

from collections.abc import Collection

_COMMANDS = {
    **dict.fromkeys(("build", "make", "repro", "retry", "seed", "start", "test"), "run"),
    **dict.fromkeys(("compile", "dag", "graph", "list", "ls", "status"), "plan"),
    **dict.fromkeys(("check", "lint", "parse"), "validate"),
    **dict.fromkeys(("docs", "html"), "report"),
    **dict.fromkeys(("create", "new"), "init"),
    **dict.fromkeys(("debug", "info"), "doctor"),
    **dict.fromkeys(("gc", "prune"), "clean"),
    "history": "runs",
}
_OPTIONS = {
    **dict.fromkeys(("--models", "--select", "--targets", "-m", "-s"), "--only, --from and --until"),
    **dict.fromkeys(("--target", "-t"), "--profile for dbt's target, and --only, --from and --until for what is made"),
    **dict.fromkeys(("--config", "--set-param", "--var", "--vars"), "-p NAME=VALUE"),
    **dict.fromkeys(("--cores", "--threads", "--workers"), "-j N"),
    **dict.fromkeys(("--always-make", "--forceall", "--full-refresh", "-B"), "--fresh"),
    **dict.fromkeys(("--dry-run", "--dryrun", "--just-print", "-n"), "the command 'plan'"),
    **dict.fromkeys(("--forcerun", "--rerun"), "--force NODES"),
    **dict.fromkeys(("--directory", "--file", "--makefile", "--project-dir", "-C"), "the path of the pipeline file"),
    **dict.fromkeys(("--fail-fast", "--store-failures", "-x"), "always so: leave it out"),
}


def command_hint(word: str) -> str:
    """Return what to type in place of a command that nfrun does not have, or ""."""
    if word.endswith((".yaml", ".yml")):
        return f"Did you mean 'run {word}'?"
    return f"In nfrun it is '{_COMMANDS[word]}'." if word in _COMMANDS else ""


def option_hint(word: str) -> str:
    """Return what to type in place of an option that nfrun does not have, or ""."""
    return f"In nfrun it is {_OPTIONS[word]}." if word in _OPTIONS else ""


def argument_hint(words: str, flags: Collection[str]) -> str:
    """Return which of the options of a command is meant by arguments that it does not take, or ""."""
    first, *more = words.split()
    if more or first.startswith("-"):
        return ""
    is_file, is_value = first.endswith((".yaml", ".yml")), "=" in first
    is_run = first.isdecimal() or first.startswith("last")
    flag = "--pipeline" if is_file else "-p" if is_value else "--run" if is_run else "--until"
    flag = "--limit" if first.isdecimal() and "--limit" in flags else flag
    return f"Did you mean {flag} {first}?" if flag in flags else ""
