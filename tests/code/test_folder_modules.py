"""Tests of `FolderModules`: each folder has its own modules, of the same names in each process."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from nfrun.code.module_space import FolderModules, with_short_names
from nfrun.code.source_import import forget_imported, import_for_process

STEPS = "import common\nclass Box: who = common.WHO\ndef alone():\n    import only_main\n"


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline's folder with a `steps.py` and a `common.py`, and two others with the same."""
    for name in ("main", "main/a-b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "common.py").write_text(f"WHO = '{name}'\n")
        (tmp_path / name / "steps.py").write_text(STEPS)
    (tmp_path / "main/only_main.py").touch()
    (tmp_path / "main/a-b/queue.py").write_text("raise RuntimeError('the wrong module')\n")
    for name in ("path", "path_hooks", "meta_path"):
        monkeypatch.setattr(sys, name, [*getattr(sys, name)])
    forget_imported()
    return tmp_path / "main"


def load(modules: FolderModules, folder: str, name: str = "steps") -> Any:
    importer = modules.importer(folder)
    assert importer is not None
    return importer(name)


def test_each_folder_has_its_modules_and_the_pipelines_are_imported_as_usual(base: Path) -> None:
    before = set(sys.modules)
    with FolderModules(base, ["a-b", "../c"]) as modules:
        assert modules.importer("") is None
        main = import_for_process("steps", base)
        assert main.Box.who == "main"
        assert load(modules, "a-b").Box.who == "main/a-b"
        assert load(modules, "../c").Box.who == "c"
        assert load(modules, "a-b").Box.__module__ == "nfrun_in_a_2d_b.steps"
        assert load(modules, "a-b", "queue").__file__ != str(base / "a-b/queue.py")
        # A module that only the pipeline's folder has is not found, although that is on `sys.path`.
        import_for_process("only_main", base)
        with pytest.raises(ModuleNotFoundError, match=r"^No module named 'only_main'$"):
            load(modules, "a-b").alone()
        main.alone()
    forget_imported()
    assert not [name for name in set(sys.modules) - before if name.startswith("nfrun_in")]


def test_what_is_pickled_in_one_run_can_be_loaded_in_another(base: Path) -> None:
    with FolderModules(base, ["a-b"]) as modules:
        data = pickle.dumps(load(modules, "a-b").Box())
    with FolderModules(base, ["a-b"]):  # as in another process, which has imported nothing yet
        assert pickle.loads(data).who == "main/a-b"


def test_beside_other_runs_all_folders_have_names_of_their_run(base: Path) -> None:
    one, two = (FolderModules(base, ["a-b"], shares_process=True) for _ in range(2))
    with one, two:
        found = [load(modules, folder) for modules in (one, two) for folder in ("", "a-b")]
        assert [module.Box.who for module in found] == ["main", "main/a-b"] * 2
        assert len({module.__name__ for module in found}) == 4
    assert "steps" not in sys.modules


def test_messages_have_the_names_that_modules_have_in_their_folder() -> None:
    text = "cannot import name 'x' from 'nfrun_in_a_2d_b.steps' and 'nfrun_run_3_in_c.steps' and 'nfrun_run_3.steps'"
    assert with_short_names(text) == "cannot import name 'x' from 'steps' and 'steps' and 'steps'"
