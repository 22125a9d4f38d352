"""The pipelines of docs/matrix.md have the nodes that the page lists."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from nfrun.spec.resolve import resolve

PAGE = (Path(__file__).parents[3] / "docs" / "matrix.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = ("digits.csv", "lanes/A_1.csv", "lanes/A_2.csv", "lanes/B_1.csv")


def test_the_examples_of_the_page_have_the_nodes_that_it_lists(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("id,y\n1,2\n")
    (tmp_path / "models.py").write_text("def score(train, spec): return train\n")
    checked = 0
    blocks = _BLOCK.findall(PAGE)
    for (kind, text), (listed, nodes) in pairwise(blocks):
        if kind == "yaml":
            file = tmp_path / text.splitlines()[0].removeprefix("# ")
            file.write_text(text)
            found = resolve(file, given={}, params_file=None, environ={}, run_id="r", to_run=False).pipeline
            assert (listed, nodes.split()) == ("text", list(found.nodes)), file.name
            checked += 1
    assert checked == 3
