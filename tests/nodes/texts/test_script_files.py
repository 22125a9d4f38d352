"""The files that a shell script names, and those that its own scripts name and import in turn."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nfrun.nodes.texts.script_files import MOST_FILES, script_files

FILES = {
    "train.py": "import helpers\nfrom pkg import mod\nopen('data.csv')\nPath(__file__).parent / 'conf' / 'x.yaml'\n",
    "helpers.py": "NAME = 'deep.txt'\n",
    "deep.txt": "",
    "pkg/__init__.py": "",
    "pkg/mod.py": "from . import other\n",
    "pkg/other.py": "",
    "pkg/unused.py": "",
    "data.csv": "",
    "in.csv": "",
    "conf/x.yaml": "",
    "conf/y.yaml": "",
    "months.py": "open(f'conf/{name}.yaml'), os.path.join(here, 'parts', 'a.csv'), 'conf/%s.yaml' % 1",
    "parts/a.csv": "",
    "dynamic.py": "import_module('helpers')",
    "calls.py": "os.system('cat in.csv | sort')",
    "broken.py": "this is ( no Python, but it names 'in.csv'",
    "w.sh": ". lib/common.sh\ncat 'two words.txt'",
    "lib/common.sh": "echo $(cat deep.txt)",
    "two words.txt": "",
    "it's.txt": "",
    "upload.sh": "#!/bin/bash\n./tool < in.csv",
    "tool": "#!/usr/bin/env python3\nimport helpers",
    "plain": "import helpers",
    "sub/run.py": "open('beside.txt')",
    "sub/beside.txt": "",
    "appends.py": "open('in.csv', 'a'); Path('data.csv').open(mode='ab'); logging.basicConfig(filename='in.csv')",
    "opens.py": "open('a'); io.open('a')",
    "a": "",
    "lib/pkg2/__init__.py": "",
    "lib/pkg2/__main__.py": "",
    "imports.py": "import pkg2",
    "Makefile": "out: in.csv\n\tsort in.csv > out\n",
    "read.R": "x <- read.csv('in.csv')",
    "read.pl": "open(my $f, '<', \"data.csv\");",
    "list": "in.csv\n",
    "circle.py": "import circle\n'circle.py'",
    "venv/pyvenv.cfg": "",
    "venv/bin/tool.py": "",
    ".git/config": "",
    ".nfrun/x.csv": "",
    ".env": "",
}
TRAIN = {
    *("train.py", "helpers.py", "deep.txt", "pkg/__init__.py", "pkg/mod.py", "pkg/other.py", "data.csv", "conf/x.yaml"),
}
CASES = {
    "python train.py": TRAIN,
    "python3.11 -u ./train.py --config=conf/y.yaml": {*TRAIN, "conf/y.yaml"},
    "bash w.sh": {"w.sh", "lib/common.sh", "deep.txt", "two words.txt"},
    "./upload.sh": {"upload.sh", "tool", "in.csv", "helpers.py", "deep.txt"},
    "x -c conf/x.yaml": {"conf/x.yaml"},
    "x < data.csv": {"data.csv"},
    "x <data.csv|sort>y": {"data.csv"},
    "x 'two words.txt' \"it's.txt\" two\\ words.txt": {"two words.txt", "it's.txt"},
    "curl -d @in.csv x": {"in.csv"},
    "FROM=in.csv TO=out.csv x": {"in.csv"},
    'x "$(cat in.csv)" `cat data.csv`': {"in.csv", "data.csv"},
    "bash -c 'cat in.csv | sort'": {"in.csv"},
    "cat in.csv 'never closed": {"in.csv"},
    "# don't read data.csv\ncat in.csv # it's": {"in.csv"},
    "cat conf/*.yaml": {"conf/x.yaml", "conf/y.yaml"},
    "cat conf/{x,y,z}.yaml": {"conf/x.yaml", "conf/y.yaml"},
    "cat conf/$name.yaml": {"conf/x.yaml", "conf/y.yaml"},
    "name=x; cat conf/${name}.yaml": {"conf/x.yaml"},
    "cat $PWD/in.csv": {"in.csv"},
    "tar c conf": {"conf/x.yaml", "conf/y.yaml"},
    "python sub/run.py": {"sub/run.py", "sub/beside.txt"},
    "cd sub && python run.py": {"sub/run.py", "sub/beside.txt"},
    "python -m pkg.mod": {"pkg/__init__.py", "pkg/mod.py", "pkg/other.py", "pkg/unused.py"},
    "python -m helpers": {"helpers.py", "deep.txt"},
    "python -c 'import helpers'": {"helpers.py", "deep.txt"},
    "python - <<'EOF'\nimport helpers  # isn't\nEOF": {"helpers.py", "deep.txt"},
    "python plain": {"plain", "helpers.py", "deep.txt"},
    "python months.py": {"months.py", "conf/x.yaml", "conf/y.yaml", "parts/a.csv"},
    "python dynamic.py": {"dynamic.py", "helpers.py", "deep.txt"},
    "python calls.py": {"calls.py", "in.csv"},
    "python broken.py": {"broken.py", "in.csv"},
    "python circle.py": {"circle.py"},
    "python opens.py": {"opens.py", "a"},
    "PYTHONPATH=lib python imports.py": {"imports.py", "lib/pkg2/__init__.py", "lib/pkg2/__main__.py"},
    "python imports.py": {"imports.py"},
    "make out": {"Makefile", "in.csv"},
    "for f in conf/x parts/a; do cat $f.*; done": {"conf/x.yaml", "parts/a.csv"},
    "for name in x y; do cat conf/$name.yaml; done": {"conf/x.yaml", "conf/y.yaml"},
    "D=conf; cat $D/x.yaml": {"conf/x.yaml", "conf/y.yaml"},  # a folder that is named counts
    "F=parts/a; G=$F; cat $G.csv": {"parts/a.csv"},
    "cat $(ls -d sub)/../in.csv": {"in.csv", "sub/run.py", "sub/beside.txt"},
    "cat ${NOT_SET:-in.csv} ${NOT_SET:=data.csv}": {"in.csv", "data.csv"},
    "ROOT=$(git rev-parse --show-toplevel); cat $ROOT/in.csv": {"in.csv"},
    "python3 - <<EOF\nopen('conf/%s.yaml' % n)\nEOF": {"conf/x.yaml", "conf/y.yaml"},
    "Rscript read.R": {"read.R", "in.csv"},
    "perl read.pl": {"read.pl", "data.csv"},
    "./list": {"list", "in.csv"},
    "python appends.py": {"appends.py"},
    "echo x >> in.csv; echo y 2>>data.csv; echo z | tee -a in.csv": set(),
    "echo x >> in.csv; wc -l in.csv": {"in.csv"},
    "x $NFRUN_WITH_file": {"in.csv"},
    "x": {"in.csv"},  # a value names it
    "cat .env": {".env"},
    "venv/bin/python .git/config .nfrun/x.csv venv/bin/tool.py": set(),
    "sort \"$NFRUN_INPUT_table\" > $NFRUN_OUTPUT; cat * . .. / /etc/passwd /dev/null": set(),
    "cat fifo absent.csv": set(),
    "": set(),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "project [1]"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    os.mkfifo(folder / "fifo")
    return folder


@pytest.mark.parametrize("text", CASES)
def test_files_that_a_script_names(folder: Path, text: str) -> None:
    values = {"NFRUN_WITH_file": "in.csv"} if text in ("x", "x $NFRUN_WITH_file") else {}
    found = script_files(text, values, folder)
    assert set(found) == CASES[text]
    assert all(path == folder / name for name, path in found.items())


def test_modules_are_looked_for_where_a_variable_says(folder: Path) -> None:
    found = script_files("python imports.py", {"PYTHONPATH": f"/nowhere:{folder}/lib"}, folder)
    assert set(found) == {"imports.py", "lib/pkg2/__init__.py", "lib/pkg2/__main__.py"}


def test_files_outside_of_the_folder_count_if_they_are_named(folder: Path) -> None:
    (folder.parent / "shared.sh").write_text("cat in.csv")
    outside = str(folder.parent / "shared.sh")
    assert set(script_files("bash ../shared.sh", {}, folder)) == {outside, "in.csv"}
    assert set(script_files(f"bash {outside}", {}, folder)) == {outside, "in.csv"}
    assert set(script_files("tar c ..; cat ../*", {}, folder)) == set()


def test_too_many_files_are_an_obstacle(folder: Path) -> None:
    for number in range(MOST_FILES + 1):
        (folder / f"parts/{number}.txt").touch()
    found = script_files("cat parts/*", {}, folder)
    assert (dict(found), found.obstacle) == ({}, "its script names more than 1,000 files: name them under 'files'")
    assert script_files("cat parts/1.txt", {}, folder).obstacle == ""


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("x > a.csv 2> b.log >> c.log", {"a.csv", "b.log"}),
        ("x | tee a.csv", {"a.csv"}),
        ("cp x/in.csv out", {"out", "out/in.csv"}),
        ("sort -o a.csv a.csv", {"a.csv"}),
        ("python x.py --output=a.csv --out b.csv", {"a.csv", "b.csv"}),
        ("sed -i s/a/b/ a.csv", {"-i", "s/a/b", "a.csv"}),
        ("cat < in.csv", set()),
    ],
)
def test_what_a_script_seems_to_write(folder: Path, text: str, written: set[str]) -> None:
    assert script_files(text, {}, folder).written == written


@pytest.mark.parametrize(
    "command", ["cc -Iinc -c src/u.c", "cc -I inc -c src/*.c", "cc -Iinc -include src/a.h src/u.c"]
)
def test_headers_that_c_files_include(tmp_path: Path, command: str) -> None:
    names = ("src/u.c", "src/a.h", "src/b.h", "src/other.h", "inc/deep.h")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "src/u.c").write_text('#include <other.h>\n#include "a.h"\n # include "deep.h"\n#include "gone.h"\n')
    (tmp_path / "src/a.h").write_text('#include "b.h"\n#include "../src/a.h"\n')
    assert set(script_files(command, {}, tmp_path)) == {*names}, "also <other.h>: a file too many is better than stale"


def test_a_tool_of_the_project_that_the_path_finds_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "bin").mkdir()
    (folder / "bin/convert").write_text("#!/bin/sh\ncat in.csv")
    (folder / "bin/unused").touch()
    assert set(script_files("convert", {}, folder)) == set()
    monkeypatch.setenv("PATH", f"{folder}/bin:/usr/bin")
    assert set(script_files("convert", {}, folder)) == {"bin/convert", "in.csv"}
    assert set(script_files("convert", {"PATH": "/usr/bin"}, folder)) == set()
