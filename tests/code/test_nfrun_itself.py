"""Code of the user that imports nfrun: what nfrun itself does is no part of it, also where nfrun lies as source."""

from __future__ import annotations

from pathlib import Path

import nfrun
from nfrun.code.fingerprint import Fingerprints


def test_code_that_imports_nfrun_does_not_reach_the_code_of_nfrun(tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text("import nfrun\n\n\ndef inner():\n    return nfrun.load('x.yaml').run()\n")
    code = Fingerprints(tmp_path)
    assert [item for item in code.of("steps", "inner") if item.startswith("nfrun")] == []
    assert "nfrun" in code.packages("steps", "inner")
    assert nfrun.__version__
