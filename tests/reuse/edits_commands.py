"""Edits of files that scripts name or import which a Python node starts."""

from __future__ import annotations

from typing import Any

from edit import Edit

STEPS = "import asyncio, os, subprocess, sys\nfrom pathlib import Path\n"
SCRIPT = "from pathlib import Path\nimport helper\n"
SCRIPT += "print((Path(__file__).parent / 'd' / 'x.csv').read_text(), helper.A)\n"
FILES = {
    "t.py": SCRIPT,
    "sub/t.py": SCRIPT,
    "w.sh": "python3 t.py\n",
    "tool": f"#!/usr/bin/env python3\n{SCRIPT}",
    "y.csv": "n\n1\n",
    **{f"{folder}d/x.csv": "n\n1\n" for folder in ("", "sub/")},
    **{f"{folder}helper.py": "A = 1\n" for folder in ("", "sub/")},
}
CALLS = {  # each with the folder of the script
    "a list": ("subprocess.run(['python3', 't.py'])", ""),
    "this Python": ("subprocess.run([sys.executable, 't.py'])", ""),
    "a path": ("subprocess.run([sys.executable, Path(__file__).parent / 't.py'])", ""),
    "a module": ("subprocess.run([sys.executable, '-m', 't'])", ""),
    "code": ("subprocess.run([sys.executable, '-c', 'import t'])", ""),
    "a folder": ("subprocess.run(['python3', 't.py'], cwd='project/sub')", "sub/"),
    "a computed folder": ("subprocess.run(['python3', 't.py'], cwd=Path(__file__).parent / 'sub')", "sub/"),
    "a tool": ("subprocess.run('./tool', shell=True, cwd=Path(__file__).parent)", ""),
    "a script for a shell": ("subprocess.check_output(['bash', 'w.sh'], cwd=Path(__file__).parent)", ""),
    "a line for a shell": ("os.system('cd sub && python3 t.py')", "sub/"),
    "a line in a list": ("subprocess.run(['bash', '-c', 'cd sub; python3 t.py'])", "sub/"),
    "a variable": ("(command := ['python3', 't.py'], subprocess.run(command))", ""),
    "asyncio": ("asyncio.create_subprocess_exec('python3', 't.py')", ""),
}


def started(name: str, call: str, edited: str, text: str, *, runs_again: bool) -> Edit:
    awaited = "async def f():\n  p = await" if "asyncio" in call else "def f():\n  p ="
    steps = f"{STEPS}{awaited} {call}\n  {'await p.wait()' if 'asyncio' in call else ''}\n  return {{'a': 1}}\n"
    return Edit(name=name, files={**FILES, "steps.py": steps}, edit={edited: text}, runs_again=runs_again)


ROWS: list[Edit] = [
    row
    for name, (call, folder) in CALLS.items()
    for row in (
        started(f"{name}: a file", call, f"{folder}d/x.csv", "n\n2\n", runs_again=True),
        started(f"{name}: an import", call, f"{folder}helper.py", "A = 2\n", runs_again=True),
        started(f"{name}: another file", call, "y.csv", "n\n2\n", runs_again=False),
    )
]
# What a script writes is no input, also where it was there before.
OUTPUT = {
    "steps.py": STEPS + "def f():\n  subprocess.run(['sh', 'o.sh'], cwd=Path(__file__).parent)\n  return {'a': 1}\n",
    "o.sh": "cat d/x.csv > out.csv\n",
    "d/x.csv": "n\n1\n",
}
ROWS += [
    Edit(name="a script writes a file", files=OUTPUT, runs_again=False),
    Edit(name="a script writes a file again", files={**OUTPUT, "out.csv": "old"}, runs_again=False),
    Edit(name="a file that a script has written", files=OUTPUT, edit={"out.csv": "n\n2\n"}, runs_again=True),
]

# A variable of the environment that a script reads.
READS = {
    "a variable": "echo $FOO >> $NFRUN_OUTPUT",
    "a variable in braces": "echo ${FOO} >> $NFRUN_OUTPUT",
    "a variable with a default": "echo ${FOO:-n} >> $NFRUN_OUTPUT",
    "a variable in quotes": "bash -c 'echo $FOO' >> $NFRUN_OUTPUT",
    "a variable that may be set": "[ -n x ] || FOO=n\n  echo $FOO >> $NFRUN_OUTPUT",
    "a variable that is set later": "echo $FOO >> $NFRUN_OUTPUT; FOO=n",
    "a variable that is its own default": "FOO=${FOO:-n}; echo $FOO >> $NFRUN_OUTPUT",
    "a variable of awk": "awk 'BEGIN {print ENVIRON[\"FOO\"]}' >> $NFRUN_OUTPUT",
    "printenv": "printenv FOO >> $NFRUN_OUTPUT || true",
    "a variable of Python": "python3 -c 'import os; print(os.environ.get(\"FOO\"))' >> $NFRUN_OUTPUT",
    "a variable in its script": "sh v.sh >> $NFRUN_OUTPUT",
    "a variable in its Python": "python3 v.py >> $NFRUN_OUTPUT",
    "a variable in a tool": "chmod +x v; ./v >> $NFRUN_OUTPUT",
    # Whether the script always sets it before is not looked at: a needless run now and then.
    "a variable that it sets": "FOO=n; echo $FOO >> $NFRUN_OUTPUT",
    "a variable that it exports": "export FOO=n\n  echo $FOO >> $NFRUN_OUTPUT",
    "a variable of a loop": "for FOO in n; do echo $FOO; done >> $NFRUN_OUTPUT",
}
READS_NOT = {
    "another variable": "echo ${FOOD:-n} >> $NFRUN_OUTPUT",
    "a quoted sign": "echo n \\$FOO >> $NFRUN_OUTPUT",
}
WITH_VARIABLE = {"v.sh": "echo $FOO", "v.py": "import os\nprint(os.getenv('FOO'))", "v": "#!/bin/sh\necho $FOO\n"}


def reading(name: str, text: str, *, runs_again: bool, variable: str = "FOO", **more: Any) -> Edit:
    files = {
        **WITH_VARIABLE,
        "p.yaml": f"nodes:\n  node:\n    run: |\n      echo n > $NFRUN_OUTPUT; {text}\n    format: csv\n",
    }
    return Edit(name=name, files=files, environ={variable: "changed"}, runs_again=runs_again, by="run", **more)


ROWS += [reading(name, text.replace("\n", "\n    "), runs_again=True) for name, text in READS.items()]
ROWS += [reading(name, text.replace("\n", "\n    "), runs_again=False) for name, text in READS_NOT.items()]
ROWS += [
    reading(f"{name}, which says nothing", f"echo n ${name} >> $NFRUN_OUTPUT", variable=name, runs_again=False)
    for name in ("LOGNAME", "LANG", "LC_TIME", "TERM", "TMPDIR", "API_TOKEN", "DB_PASSWORD", "OMP_NUM_THREADS")
]
ENV = "nodes:\n  node: {run: 'echo n $FOO > $NFRUN_OUTPUT', format: csv, env: {FOO: '1'}}\n"
ROWS += [
    Edit(name="a variable that the file sets", files={"p.yaml": ENV}, environ={"FOO": "2"}, runs_again=False),
]


# A tool of the project that is found by PATH.
TOOL = {"bin/tool": "#!/bin/sh\ncat d/x.csv\n", "bin/unused": "#!/bin/sh\n", "d/x.csv": "n\n1\n", "y.csv": "1"}
USES = "tool > $NFRUN_OUTPUT || echo n > $NFRUN_OUTPUT"
PATH = "env: {PATH: 'bin:/bin:/usr/bin'}"
PATHS = {
    "PATH of the node": f"nodes:\n  node: {{run: '{USES}', format: csv, {PATH}}}\n",
    "PATH of the file": f"{PATH}\nnodes:\n  node: {{run: '{USES}', format: csv}}\n",
    "PATH of the script": f"nodes:\n  node: {{run: 'PATH=$PWD/bin:$PATH; {USES}', format: csv}}\n",
}
ROWS += [
    Edit(name=f"{name}: {file}", files={**TOOL, "p.yaml": text}, edit={file: new}, runs_again=runs_again)
    for name, text in PATHS.items()
    for file, new, runs_again in (
        ("bin/tool", "#!/bin/sh\ncat d/x.csv d/x.csv\n", True),
        ("d/x.csv", "n\n2\n", True),
        ("y.csv", "2", False),
        ("bin/unused", "#!/bin/sh\necho\n", False),
    )
]
