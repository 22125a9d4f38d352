"""The functions by which shells complete the command line of nfrun, and where they are installed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from nfrun.core.values import frozen

BASH = r"""
_nfrun_completion() {
    local answer=() found=() line
    while IFS= read -r line; do answer+=("$line"); done < <(
        _NFRUN_COMPLETE=bash _NFRUN_LINE="${COMP_LINE:0:COMP_POINT}" _NFRUN_BREAKS="$COMP_WORDBREAKS" \
            "${1/#\~/$HOME}" 2>/dev/null
    )
    COMPREPLY=()
    local rest="${answer[2]:1}"
    case "${answer[0]}" in
        values*)
            COMPREPLY=("${answer[@]:3}")
            compopt -o nosort 2>/dev/null
            compopt +o default +o bashdefault 2>/dev/null # no files where a value is meant
            ;;
        pipelines | folders | files)
            while IFS= read -r line; do found+=("$line"); done < <(
                case "${answer[0]}" in
                    pipelines)
                        compgen -d -- "$rest"
                        compgen -f -X '!*.yaml' -- "$rest"
                        compgen -f -X '!*.yml' -- "$rest"
                        ;;
                    folders) compgen -d -- "$rest" ;;
                    files) compgen -f -- "$rest" ;;
                esac
            )
            COMPREPLY=("${found[@]}")
            compopt -o filenames 2>/dev/null
            ;;
    esac
    case "${answer[0]}" in *nospace) compopt -o nospace 2>/dev/null ;; esac
}

# Where the function has nothing, bash completes names of files, also behind variables.
complete -o bashdefault -o default -F _nfrun_completion nfrun
"""

ZSH = r"""
#compdef nfrun

_nfrun_completion() {
    local -a answer plain described suffix
    local line value none=1
    answer=("${(@f)$(
        _NFRUN_COMPLETE=zsh _NFRUN_WORDS="${(F)${(@Q)words[1,CURRENT-1]}}" _NFRUN_CURRENT="${(Q)PREFIX}" \
            "${words[1]/#\~/$HOME}" 2>/dev/null
    )}")
    compset -p $(( ${#answer[2]} - 1 ))
    case "${answer[1]}" in
        values*)
            for line in "${(@)answer[4,-1]}"; do
                value="${line%%$'\t'*}"
                if [[ "$line" == *$'\t'?* ]]; then
                    described+=("${value//:/\\:}:${line#*$'\t'}")
                else
                    plain+=("$value")
                fi
            done
            [[ "${answer[1]}" == *nospace ]] && suffix=(-S '')
            (( $#plain )) && compadd -V nfrun "${suffix[@]}" -a plain && none=0
            (( $#described )) && _describe -V nfrun described "${suffix[@]}" && none=0
            return none
            ;;
        pipelines) _files -g '*.(yaml|yml)' ;;
        folders) _files -/ ;;
        files) _files ;;
    esac
}

if [ "${funcstack[1]}" = "_nfrun" ]; then
    _nfrun_completion "$@"
else
    compdef _nfrun_completion nfrun
fi
"""

FISH = r"""
function __nfrun_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l unquoted (string unescape -- $current)
    or set unquoted (string replace -r '^["\']' '' -- $current) # its quote is still open
    set -l answer (
        env _NFRUN_COMPLETE=fish _NFRUN_WORDS=(string join \n -- $words | string collect) _NFRUN_CURRENT="$unquoted" \
            (string replace -r '^~' $HOME -- $words[1]) 2>/dev/null
    )
    set -l kept (string sub -s 2 -- $answer[2])
    set -l rest (string sub -s 2 -- $answer[3])
    switch "$answer[1]"
        case 'values*'
            for value in $answer[4..]
                echo $kept$value
            end
        case pipelines
            for file in (__fish_complete_path $rest | string match -r '.*(?:/|\.ya?ml)(?:\t.*)?$')
                echo $kept$file
            end
        case folders
            for file in (__fish_complete_directories $rest)
                echo $kept$file
            end
        case files
            for file in (__fish_complete_path $rest)
                echo $kept$file
            end
    end
end

complete -c nfrun -f -k -a '(__nfrun_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


@frozen
class Home:
    """Where a user's shells find what they load: `start` is the file that gets a line, "" if none does."""

    script: Path
    start: Path | None = None
    line: str = ""


def shell_of_user(environ: Mapping[str, str]) -> str:
    """Return the shell in which nfrun was started, or else the user's login shell. "" if it is none of SCRIPTS."""
    found = ""
    with suppress(Exception):  # where it cannot look at processes
        from shellingham import detect_shell

        found = detect_shell()[0]
    shell = found if found in SCRIPTS else Path(environ.get("SHELL", "")).name
    return shell if shell in SCRIPTS else ""


def script_of(shell: str) -> str:
    """Return the text that makes a shell complete the command line of nfrun."""
    return SCRIPTS[shell].lstrip()


def install(shell: str, environ: Mapping[str, str]) -> list[Path]:
    """Install the completion for a shell of this user, also over an older one. Returns the files that were written.

    Raises OSError.
    """
    home = _home_of(shell, environ)
    home.script.parent.mkdir(parents=True, exist_ok=True)
    home.script.write_text(script_of(shell), encoding="utf-8")
    if home.start is None:
        return [home.script]
    before = home.start.read_bytes() if home.start.exists() else b""
    line = home.line.encode()
    if line in before.splitlines():
        return [home.script]
    with home.start.open("ab") as file:
        file.write((b"\n" if before and not before.endswith(b"\n") else b"") + line + b"\n")
    return [home.script, home.start]


def _home_of(shell: str, environ: Mapping[str, str]) -> Home:
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    if shell == "fish":
        return Home(Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "fish/completions/nfrun.fish")
    if shell == "zsh":
        start = Path(environ.get("ZDOTDIR") or home) / ".zshrc"
        return Home(home / ".zfunc/_nfrun", start, "fpath+=~/.zfunc; autoload -Uz compinit; compinit")
    script = home / ".bash_completions/nfrun.sh"
    return Home(script, home / ".bashrc", f"source {shlex.quote(str(script))}")
