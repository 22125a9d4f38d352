"""Edits of files that scripts name or import which a Python node starts."""

from __future__ import annotations

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
