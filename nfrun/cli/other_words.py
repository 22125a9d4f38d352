"""Has the commands and options of dbt, DVC, Make and Snakemake, and what to type in place of them."""

from __future__ import annotations

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
    return f"In nfrun it is '{_COMMANDS[word]}'." if word in _COMMANDS else ""


def option_hint(word: str) -> str:
    """Return what to type in place of an option that nfrun does not have, or ""."""
    return f"In nfrun it is {_OPTIONS[word]}." if word in _OPTIONS else ""
