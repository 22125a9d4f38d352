"""Edits of files that code reads unseen, by paths that are attributes of classes and objects."""

from __future__ import annotations

from collections.abc import Iterator

from edit import Edit

HEAD = "import os\nfrom enum import Enum\nfrom dataclasses import dataclass\nfrom pathlib import Path\n"
HEAD += "from pyarrow.csv import read_csv\n"
C = "class C:\n  PATH = 'd/x.csv'\n"
READ = "  def load(self): return read_csv(Path(__file__).parent / self.PATH)\n"
HERE = "Path(__file__).parent"
KNOWN = {
    "self": f"{C}{READ}def f(): return C().load()",
    "self alone": "class C:\n  PATH = 'project/d/x.csv'\n  def load(self): return read_csv(self.PATH)\n"
    "def f(): return C().load()",
    "cls": f"{C}  @classmethod\n  def load(cls): return read_csv({HERE} / cls.PATH)\ndef f(): return C.load()",
    "the class": f"{C}def f(): return read_csv({HERE} / C.PATH)",
    "an object": f"{C}def f(): return read_csv({HERE} / C().PATH)",
    "a local object": f"{C}def f():\n  c = C()\n  return read_csv({HERE} / c.PATH)",
    "a global object": f"{C}CONFIG = C()\ndef f(): return read_csv({HERE} / CONFIG.PATH)",
    "an enum": f"class E(Enum):\n  X = 'd/x.csv'\ndef f(): return read_csv({HERE} / E.X.value)",
    "a base": f"{C}class D(C):\n{READ}def f(): return D().load()",
    "of a subclass": f"class B:\n{READ}class C(B):\n  PATH = 'd/x.csv'\ndef f(): return C().load()",
    "set when it is made": "class C:\n  def __init__(self):\n    name = 'x'\n    self.PATH = f'd/{name}.csv'\n"
    f"{READ}def f(): return C().load()",
    "overridden": f"class B:\n  PATH = 'e/x.csv'\n{READ}class C(B):\n  PATH = 'd/x.csv'\ndef f(): return C().load()",
    "of another module": "import paths\ndef f(): return read_csv(Path(__file__).parent / paths.C.PATH)",
}
X = "os.sep.join(['d', 'x.csv'])"
E = C.replace("d/", "e/")
CALL = "def f(): return C().load()"
UNKNOWN = {  # another value comes from elsewhere
    "an argument": f"class C:\n  def __init__(self, p): self.PATH = p\n{READ}def f(): return C({X}).load()",
    "a dataclass": f"@dataclass\nclass C:\n  PATH: str = 'e/x.csv'\n{READ}def f(): return C({X}).load()",
    "setattr": f"{E}{READ}def f():\n  c = C()\n  setattr(c, 'PA' + 'TH', {X})\n  return c.load()",
    "its dictionary": f"{E}{READ}def f():\n  c = C()\n  c.__dict__['PATH'] = {X}\n  return c.load()",
    "another assignment": f"{E}{READ}def g(c): c.PATH = {X}\ndef f():\n  c = C()\n  g(c)\n  return c.load()",
    "a decorator": f"def d(c):\n  c.PATH = {X}\n  return c\n@d\n{E}{READ}{CALL}",
    "a name of the class": f"D = 'e'\nclass C:\n  D = os.sep.join(['d'])\n  PATH = D + '/x.csv'\n{READ}{CALL}",
    "a property": f"class C:\n  @property\n  def PATH(self): return {X}\n{READ}{CALL}",
    "overridden by what is computed": f"{E}{READ}class D(C):\n  PATH = {X}\ndef f(): return D().load()",
    "overridden in a base beside": f"{E}{READ}class M:\n  PATH = {X}\nclass D(M, C): pass\ndef f(): return D().load()",
}


def rows() -> Iterator[Edit]:
    for name, text in {**KNOWN, **UNKNOWN}.items():
        files = {"steps.py": HEAD + text, "paths.py": C, "y.csv": "n\n1\n", "d/x.csv": "n\n1\n", "e/x.csv": "n\n1\n"}
        yield Edit(name=name, files=files, edit={"d/x.csv": "n\n2\n"}, runs_again=True)
        if name in KNOWN:
            yield Edit(name=f"{name}: another file", files=files, edit={"y.csv": "n\n2\n"}, runs_again=False)


ROWS = list(rows())
