"""Uses of process-global state, in all spellings, each beside one that looks like it and is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.code.facts.fact_reader import FactReader
from nfrun.code.fingerprint import Fingerprints

# A module with a function `f` that uses global state, what is found, and a module like it where nothing is found.
SPELLINGS = [
    (
        "from duckdb import sql\ndef f(): return sql('select 1').pl()",
        "duckdb.sql",
        "import duckdb\ndef f(): return duckdb.connect().sql('select 1')",
    ),
    (
        "import duckdb as d\ndef f(): return d.read_json('a.json')",
        "duckdb.read_json",
        "import duckdb as d\ndef f(): return d.tokenize('a.json')",
    ),
    (
        "import duckdb\ndef f():\n  with duckdb.cursor() as c: return c.sql('select 1')",
        "duckdb.cursor",
        "import duckdb\ndef f():\n  with duckdb.connect().cursor() as c: return c.sql('select 1')",
    ),
    (
        "import duckdb\ndef f(): return duckdb.connect(':default:')",
        "duckdb.connect",
        "import duckdb\ndef f(): return duckdb.connect(':memory:')",
    ),
    (
        "import random\ndef f(): return random.random()",
        "random.random",
        "import random\ndef f(): return random.Random(1).random()",
    ),
    (
        "import random as r\ndef f(): return r.choice([1])",
        "random.choice",
        "import random as r\ndef f(): return r.Random(2).choice([1])",
    ),
    (
        "from random import shuffle\ndef f(x): shuffle(x)",
        "random.shuffle",
        "from shuffling import shuffle\ndef f(x): shuffle(x)",
    ),
    (
        "from random import shuffle as s\ndef f(x): s(x)",
        "random.shuffle",
        "from random import Random as s\ndef f(x): s(x)",
    ),
    (
        "def f():\n  import random\n  random.seed(1)",
        "random.seed",
        "def f():\n  import random\n  return random.SystemRandom()",
    ),
    ("def f():\n  from random import seed as go\n  go(1)", "random.seed", "def f(seed):\n  go = seed\n  go(1)"),
    ("import random\ndef f(): return shuffled(random)", "random", "import randoms\ndef f(): return shuffled(randoms)"),
    (
        "import random\ndef f():\n  r = random\n  return r",
        "random",
        "def f(random):\n  r = random\n  return r.random()",
    ),
    (
        "import random\nRNG = random\ndef f(): return RNG.random()",
        "random.random",
        "import random\nRNG = random.Random\ndef f(): return RNG(1)",
    ),
    (
        "import random\npick = random.choice\ndef f(): return pick([1])",
        "random.choice",
        "import random\npick = random.Random(1).choice\ndef f(): return pick",
    ),
    (
        "from random import *\ndef f(): return randint(1, 2)",
        "random.randint",
        "from random import *\ndef f(): return print(1, 2)",
    ),
    (
        "import random\ndef f(): return sorted([1], key=lambda x: random.random())",
        "random.random",
        "def f(random): return sorted([1], key=lambda x: random.random())",
    ),
    (
        "import random\nclass A:\n  def g(self): return random.gauss(0, 1)\ndef f(): return A().g()",
        "random.gauss",
        "import random\nclass A:\n  SEED = random.gauss(0, 1)\n  def g(self): ...\ndef f(): return A().g()",
    ),
    (
        "import random\ndef g(): return random.betavariate(1, 1)\ndef f(): return g()",
        "random.betavariate",
        "import random\ndef g(): return random.betavariate(1, 1)\ndef f(): return 1",
    ),
    (
        "import random\ndef f(): return [random.random() for i in range(3)]",
        "random.random",
        "import random\nALL = [random.random() for i in range(3)]\ndef f(): return len(ALL)",
    ),
    (
        "import random\nasync def f(): return random.random()",
        "random.random",
        "import random\nSTART = random.random()\nasync def f(): return START",
    ),
    (
        "import numpy as np\ndef f(): return np.random.rand(3)",
        "numpy.random.rand",
        "import numpy as np\ndef f(): return np.random.default_rng(1).random(3)",
    ),
    (
        "import numpy\ndef f(): numpy.random.seed(0)",
        "numpy.random.seed",
        "import numpy\ndef f(): return numpy.random.RandomState(0).rand()",
    ),
    (
        "import numpy.random\ndef f(): numpy.random.shuffle([])",
        "numpy.random.shuffle",
        "import numpy.random\ndef f(): return numpy.random.SeedSequence(1)",
    ),
    (
        "import numpy.random as r\ndef f(): return r.normal()",
        "numpy.random.normal",
        "import numpy.random as r\ndef f(): return r.Generator(r.PCG64(1)).normal()",
    ),
    (
        "from numpy import random\ndef f(): return random.uniform()",
        "numpy.random.uniform",
        "from numpy import linalg as random\ndef f(): return random.norm([])",
    ),
    (
        "from numpy.random import permutation as p\ndef f(): return p(3)",
        "numpy.random.permutation",
        "from numpy.random import default_rng as p\ndef f(): return p(3)",
    ),
    (
        "import numpy as np\nnpr = np.random\ndef f(): return npr.randn(2)",
        "numpy.random.randn",
        "import numpy as np\nnpr = np.random\ndef f(): return npr.PCG64(2)",
    ),
    (
        "import numpy as np\ndef f():\n  draw(npr := np.random)\n  return npr.PCG64(2)",
        "numpy.random",
        "import numpy as np\ndef f():\n  make = np.random.default_rng\n  return make(2)",
    ),
    (
        "import numpy as np\ndef f(): return draw(np.random)",
        "numpy.random",
        "import numpy as np\ndef f(): return draw(np.linalg)",
    ),
    (
        "import numpy as np\ndef f(x): return isinstance(x, int) or np.random.choice(x)",
        "numpy.random.choice",
        "import numpy as np\ndef f(x): return isinstance(x, np.random.Generator)",
    ),
    (
        "import torch\ndef f(): torch.manual_seed(1)",
        "torch.manual_seed",
        "import torch\ndef f(): return torch.Generator().manual_seed(1)",
    ),
    (
        "import torch as t\ndef f(): return t.randn(3)",
        "torch.randn",
        "import torch as t\ndef f(g): return t.randn(3, generator=g)",
    ),
    (
        "from torch import rand\ndef f(): return rand(3)",
        "torch.rand",
        "from torch import zeros as rand\ndef f(): return rand(3)",
    ),
    (
        "import torch\ndef f(m): torch.nn.init.normal_(m)",
        "torch.nn.init.normal_",
        "import torch\ndef f(m): return torch.nn.Linear",
    ),
    ("import os\ndef f(): os.chdir('/')", "os.chdir", "import os\ndef f(): return os.getcwd()"),
    ("from os import chdir as go\ndef f(): go('/')", "os.chdir", "from os import getcwd as go\ndef f(): go()"),
    (
        "import contextlib\ndef f():\n  with contextlib.chdir('/'): pass",
        "contextlib.chdir",
        "import contextlib\ndef f():\n  with contextlib.suppress(OSError): pass",
    ),
    ("import os\ndef f(): os.environ['A'] = '1'", "os.environ", "import os\ndef f(): return os.environ['A']"),
    (
        "from os import environ\ndef f(): environ['A'] = '1'",
        "os.environ",
        "from os import environ\ndef f(): return {**environ, 'A': '1'}",
    ),
    (
        "import os\ndef f(): del os.environ['A']",
        "os.environ",
        "import os\ndef f():\n  environ = dict(os.environ)\n  del environ['A']",
    ),
    (
        "import os\ndef f(): os.environ.update(A='1')",
        "os.environ.update",
        "import os\ndef f(): return os.environ.get('A')",
    ),
    (
        "import os\ndef f(): os.environ.setdefault('A', '1')",
        "os.environ.setdefault",
        "import os\ndef f(): return os.environ.copy().setdefault('A', '1')",
    ),
    (
        "import os\ndef f(): os.environ |= {'A': '1'}",
        "os.environ",
        "import os\ndef f(): return os.environ | {'A': '1'}",
    ),
    (
        "import os\ndef f():\n  e = os.environ\n  e['A'] = '1'",
        "os.environ",
        "import os\ndef f():\n  e = os.environ.copy()\n  e['A'] = '1'",
    ),
    (
        "import os\ndef f(): return os.environ.pop('A', None)",
        "os.environ.pop",
        "import os\ndef f(): return 'A' in os.environ",
    ),
    ("import os\ndef f(): os.putenv('A', '1')", "os.putenv", "import os\ndef f(): return os.getenv('A', '1')"),
    (
        "import os\nfrom unittest import mock\ndef f():\n  with mock.patch.dict(os.environ, A='1'): pass",
        "unittest.mock.patch.dict",
        "from unittest import mock\ndef f(): return mock.sentinel",
    ),
    (
        "import locale\ndef f(): locale.setlocale(locale.LC_ALL, 'C')",
        "locale.setlocale",
        "import locale\ndef f(): return locale.getlocale()",
    ),
    (
        "import matplotlib.pyplot as plt\ndef f(): plt.plot([1])",
        "matplotlib.pyplot.plot",
        "import matplotlib.figure as plt\ndef f(): return plt.Figure()",
    ),
    (
        "from matplotlib import pyplot\ndef f(): return draw(pyplot)",
        "matplotlib.pyplot",
        "from matplotlib import colors\ndef f(): return draw(colors)",
    ),
    (
        "def f():\n  from matplotlib.pyplot import subplots\n  return subplots()",
        "matplotlib.pyplot.subplots",
        "def f():\n  from matplotlib.figure import Figure\n  return Figure().subplots()",
    ),
    (
        "from sklearn.ensemble import RandomForestClassifier as R\ndef f(): return R(5)",
        "sklearn.ensemble.RandomForestClassifier",
        "from sklearn.ensemble import RandomForestClassifier as R\ndef f(): return R(5, random_state=0)",
    ),
    (
        "from sklearn.model_selection import train_test_split\ndef f(x): return train_test_split(x)",
        "sklearn.model_selection.train_test_split",
        "from sklearn.metrics import f1_score\ndef f(x): return f1_score(x, x)",
    ),
    (
        "from sklearn import cluster\ndef f(): return cluster.KMeans(2)",
        "sklearn.cluster.KMeans",
        "from sklearn import metrics\ndef f(): return metrics.accuracy_score([1], [1])",
    ),
    (
        "from sklearn.svm import SVC\ndef f(): return SVC(random_state=None)",
        "sklearn.svm.SVC",
        "from sklearn.pipeline import make_pipeline\ndef f(a): return make_pipeline(a)",
    ),
    (
        "from sklearn.preprocessing import QuantileTransformer\ndef f(): return QuantileTransformer()",
        "sklearn.preprocessing.QuantileTransformer",
        "from sklearn.datasets import load_iris\ndef f(): return load_iris()",
    ),
    ("def f(df): return df.sample(5)", ".sample", "def f(df): return df.sample(5, random_state=1)"),
    (
        "def f(df): return df.groupby('a').sample(frac=1)",
        ".sample",
        "import random\ndef f(df):\n  r = random.Random(1)\n  return r.sample(df, 3)",
    ),
    (
        "import helpers\ndef f(): return helpers.r.random()",
        "random.random",
        "import helpers\ndef f(): return helpers.calm.random()",
    ),
    (
        "from helpers import r\ndef f(): return r.random()",
        "random.random",
        "from helpers import calm\ndef f(): return calm.random()",
    ),
    (
        "from helpers import *\ndef f(): return r.random()",
        "random.random",
        "from helpers import *\ndef f(): return calm.random()",
    ),
    (
        "import helpers\ndef f(): return helpers.draw()",
        "numpy.random.rand",
        "import helpers\ndef f(): return helpers.sample()",
    ),
]
HELPERS = """\
import random as r, numpy as np
calm = np.linalg
def draw(): return np.random.rand()
def sample(): return 1
"""


def found(folder: Path, text: str) -> list[str]:
    (folder / "steps.py").write_text(text)
    (folder / "helpers.py").write_text(HELPERS)
    return [fact.what for fact in FactReader(Fingerprints(folder)).of("steps", "f").global_state]


@pytest.mark.parametrize(("text", "name", "other"), SPELLINGS)
def test_global_state_is_found_and_what_looks_like_it_is_not(text: str, name: str, other: str, tmp_path: Path) -> None:
    assert found(tmp_path, text) == [name]
    assert found(tmp_path, other) == []


def test_a_fact_has_the_file_and_the_line(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "steps.py").write_text(
        "import os\n\n\ndef f():\n    x = 1\n    os.chdir('/')\n    os.chdir('.')\n"
    )
    (fact,) = FactReader(Fingerprints(tmp_path)).of("p.steps", "f").global_state
    assert (fact.what, fact.where) == ("os.chdir", "p/steps.py:6")
