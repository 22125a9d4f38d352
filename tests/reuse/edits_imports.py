"""Edits of the modules that a node's code imports, also in ways that cannot be followed."""

from __future__ import annotations

from edit import Edit, edits

WITH_HELPERS = "import helpers\ndef f(): return {'a': helpers.g()}\n"
HELPERS = {"helpers.py": "def g(): return 1\n"}
PLUG_INS = "import p, pkgutil\ndef f(): return {'a': len([*pkgutil.iter_modules(p.__path__)])}\n"
FAST = "try:\n import fast as h\nexcept ImportError:\n import helpers as h\ndef f(): return {'a': h.g()}\n"

# The edit replaces 1 by 2, unless the row says otherwise.
RUNS_AGAIN = r"""
## a helper
import helpers
def f(): return {'a': helpers.g()}
-- helpers.py
def g(): return 1

## a helper by name
from helpers import g
def f(): return {'a': g()}
-- helpers.py
def g(): return 1

## a helper under another name
import helpers as h
g = h.g
def f(): return {'a': g()}
-- helpers.py
def g(): return 1

## a helper imported inside
def f():
 from helpers import g
 return {'a': g()}
-- helpers.py
def g(): return 1

## a module in PYTHONPATH by a computed name
from importlib import import_module
def f(name='tra'): return {'a': import_module('ex' + name).A}
-- ../src/extra.py
A = 1

## a helper by star
from helpers import *
def f(): return {'a': g()}
-- helpers.py
def g(): return 1

## a helper by stars
from more import *
def f(): return {'a': g()}
-- more.py
from helpers import *
-- helpers.py
def g(): return 1

## what a star hands on | ['M'] | ['M', 'N']
N = 5
from helpers import *
def f(): return {'a': N}
-- helpers.py
__all__ = ['M']
N = 3
M = 1

## a helper's constant
import helpers
def f(): return {'a': helpers.N}
-- helpers.py
N = 1

## a helper's class
import helpers
def f(): return {'a': helpers.C.x}
-- helpers.py
class C: x = 1

## what a helper's constant is made of
from helpers import N
def f(): return {'a': N}
-- helpers.py
def g(): return 1
N = g()

## the helper of a helper
import helpers
def f(): return {'a': helpers.g()}
-- helpers.py
from deep import g
-- deep.py
def g(): return 1

## a module in a package
import p.a
def f(): return {'a': p.a.g()}
-- p/__init__.py
-- p/a.py
def g(): return 1

## by a relative import
from p.b import g
def f(): return {'a': g()}
-- p/b.py
from . import a
def g(): return a.g()
-- p/__init__.py
-- p/a.py
def g(): return 1

## by a relative import from above
from p.q.b import g
def f(): return {'a': g()}
-- p/q/__init__.py
-- p/q/b.py
from ..a import g
-- p/__init__.py
-- p/a.py
def g(): return 1

## what a package hands on
from p import g
def f(): return {'a': g()}
-- p/__init__.py
from .a import g
-- p/a.py
def g(): return 1

## a folder that is no package
from p import a
def f(): return {'a': a.g()}
-- p/a.py
def g(): return 1

## what a package does on import
import p.a
import r
def f(): return {'a': r.N}
-- r.py
N = 0
-- p/__init__.py
import r
r.N = 1
-- p/a.py

## another module's attribute set on import
import patch
import helpers
def f(): return {'a': helpers.g()}
-- patch.py
import helpers
helpers.g = lambda: 1
-- helpers.py
def g(): return 3

## another module's attribute set by setattr
import patch
import helpers
def f(): return {'a': helpers.g()}
-- patch.py
import helpers
setattr(helpers, 'g', lambda: 1)
-- helpers.py
def g(): return 3

## what replaces another module's attribute
import patch
import helpers
def f(): return {'a': helpers.g()}
-- patch.py
import helpers
def g(): return 1
helpers.g = g
-- helpers.py
def g(): return 3

## a registry filled by another module
import more, helpers
def f(): return {'a': helpers.T[0]()}
-- helpers.py
T = []
def add(g): T.append(g)
-- more.py
import helpers
@helpers.add
def g(): return 1

## a registry that is a class
import more, helpers
def f(): return {'a': helpers.R.T[0]()}
-- helpers.py
class R:
 T = []
 @classmethod
 def add(c, g): c.T.append(g)
-- more.py
from helpers import R
@R.add
def g(): return 1

## a registry that is an object
import more
from helpers import app
def f(): return {'a': app.t['g']()}
-- helpers.py
class App:
 def __init__(self): self.t = {}
 def task(self, g): self.t[g.__name__] = g
app = App()
-- more.py
from helpers import app
@app.task
def g(): return 1

## a registry filled by a call
import more, helpers
def f(): return {'a': helpers.T[0]()}
-- helpers.py
T = []
def add(g): T.append(g)
-- more.py
import helpers
def g(): return 1
helpers.add(g)

## a registry filled by a default
import more, helpers
def f(): return {'a': helpers.T[0]()}
-- helpers.py
T = []
def add(g): T.append(g)
-- more.py
import helpers
def g(): return 1
def h(x=helpers.add(g)): ...

## a registry filled by an assignment
import more, helpers
def f(): return {'a': helpers.T[0]()}
-- helpers.py
T = []
def add(g): T.append(g)
-- more.py
import helpers
def g(): return 1
_ = helpers.add(g)

## a registry filled in a class body
import more, helpers
def f(): return {'a': helpers.T[0]()}
-- helpers.py
T = []
def add(g): T.append(g)
-- more.py
import helpers
def g(): return 1
class C:
 helpers.add(g)

## a registry filled by a decorator of a method
import more, helpers
def f(): return {'a': helpers.T[0](0)}
-- helpers.py
T = []
def add(g): T.append(g)
-- more.py
import helpers
class C:
 @helpers.add
 def g(self): return 1

## a registry filled by a making of a class
import more, helpers
def f(): return {'a': helpers.T[0].x}
-- helpers.py
T = []
class B:
 def __init_subclass__(c): T.append(c)
-- more.py
import helpers
C = type('C', (helpers.B,), {'x': 1})

## a registry filled by an enumeration
import more, helpers
def f(): return {'a': helpers.T[0]}
-- helpers.py
T = []
def add(x):
 T.append(x)
 return x
-- more.py
import enum, helpers
class C(enum.Enum): X = helpers.add(1)

## a registry filled in a class body, without a call
import more, helpers
def f(): return {'a': helpers.T['x']}
-- helpers.py
T = {}
-- more.py
import helpers
class C:
 helpers.T['x'] = 1

## a registry that is a default
import more, helpers
def f(): return {'a': helpers.add(None)[0]()}
-- helpers.py
def add(g, t=[]):
 t.append(g)
 return t
-- more.py
import helpers
@helpers.add
def g(): return 1

## a registry that is an attribute of a function
import more, helpers
def f(): return {'a': helpers.add.t[0]()}
-- helpers.py
def add(g): add.t = [g]
-- more.py
import helpers
@helpers.add
def g(): return 1

## a registry that a function has around it
import more, helpers
def f(): return {'a': helpers.T[0]()}
-- helpers.py
def make():
 t = []
 def add(g): t.append(g)
 return t, add
T, add = make()
-- more.py
from helpers import add
@add
def g(): return 1

## a class that pandas registers
import more
import pandas as pd
def f(): return {'a': pd.DataFrame({'x': [5]}).made_up.g()}
-- more.py
import pandas as pd
@pd.api.extensions.register_dataframe_accessor('made_up')
class C:
 def __init__(self, frame): ...
 def g(self): return 1

## a class that polars registers
import more
import polars as pl
def f(): return {'a': pl.DataFrame({'x': [5]}).made_up.g()}
-- more.py
import polars as pl
@pl.api.register_dataframe_namespace('made_up')
class C:
 def __init__(self, frame): ...
 def g(self): return 1

## a registry filled by an annotation
import more, helpers
def f(): return {'a': helpers.T[0]}
-- helpers.py
T = []
def add(x): T.append(x)
-- more.py
import helpers
def h(x: helpers.add(1)): ...

## a registry filled by a library's function
import more, helpers
def f(): return {'a': helpers.T[0]}
-- helpers.py
T = []
-- more.py
import heapq, helpers
_ = heapq.heappush(helpers.T, 1)

## a list that a function returns and a library changes
import more, helpers
def f(): return {'a': helpers.rows()[0]}
-- helpers.py
T = []
def rows(): return T
-- more.py
import operator
from helpers import rows
DONE = operator.iconcat(rows(), [1])

## a list that a library changes
import more, helpers
def f(): return {'a': helpers.T[0]}
-- helpers.py
T = []
-- more.py
import helpers, operator
DONE = operator.iconcat(helpers.T, [1])

## a list of a class that a library changes
import more, helpers
def f(): return {'a': helpers.C.rows[0]}
-- helpers.py
class C:
 rows = []
-- more.py
import helpers, operator
DONE = operator.iconcat(helpers.C.rows, [1])

## a registry filled by a method that is handed on
import more, helpers
def f(): return {'a': helpers.T[0]}
-- helpers.py
T = []
-- more.py
import helpers
_ = list(map(helpers.T.append, [1]))

## a class's attribute set by an object
import more, helpers
def f(): return {'a': helpers.C.n}
-- helpers.py
class C:
 n = 0
 def __init__(self, x): type(self).n = x
-- more.py
import helpers
c = helpers.C(1)

## a class's attribute set by name
import more, helpers
def f(): return {'a': helpers.C.n}
-- helpers.py
class C:
 n = 0
 def __init__(self, x): C.n = x
-- more.py
import helpers
c = helpers.C(1)

## a class's attribute set by a method
import more, helpers
def f(): return {'a': helpers.C.n}
-- helpers.py
class C:
 n = 0
 @classmethod
 def set(cls, x): cls.n = x
-- more.py
import helpers
_ = helpers.C.set(1)

## a registry that a function's argument is
import more, helpers
def f(): return {'a': helpers.T[0]}
-- helpers.py
T = []
def add(t, x): t.append(x)
-- more.py
import helpers
_ = helpers.add(helpers.T, 1)

## a registry under another name
import more, helpers
def f(): return {'a': helpers.T[0]}
-- helpers.py
T = []
add = T.append
-- more.py
import helpers
_ = helpers.add(1)

## a registry that is emptied
import more, helpers
def f(): return {'a': helpers.T[0]}
-- helpers.py
T = [3, 5, 7]
-- more.py
import helpers
_ = helpers.T.pop(1 - 1)

## a registry that a function has by another name
import more, helpers
def f(): return {'a': helpers.T[0]}
-- helpers.py
T = []
def add(x):
 t = T
 t.append(x)
-- more.py
import helpers
_ = helpers.add(1)

## a registry that a function returns
import more, helpers
def f(): return {'a': helpers.T[0]}
-- helpers.py
T = []
def get(): return T
-- more.py
import helpers
def fill(x):
 t = helpers.get()
 t.append(x)
_ = fill(1)

## a registry that a loop has
import more, helpers
def f(): return {'a': helpers.T[0][0]}
-- helpers.py
T = [[]]
def add(x):
 for t in T: t.append(x)
-- more.py
import helpers
_ = helpers.add(1)

## a registry that an object has
import more, helpers
def f(): return {'a': helpers.T[0]}
-- helpers.py
T = []
class C:
 def __init__(self, t, x):
  self.t = t
  self.t.append(x)
-- more.py
import helpers
c = helpers.C(helpers.T, 1)

## a function in a frame's query
import pandas as pd
def n(): return 1
def f(): return pd.DataFrame({'a': [1, 2, 3]}).query('a > @n()')

## a registry that a dataclass fills
import more, helpers
def f(): return {'a': helpers.T[0]}
-- helpers.py
from dataclasses import dataclass
T = []
@dataclass
class C:
 x: int
 def __post_init__(self): T.append(self.x)
-- more.py
import helpers
c = helpers.C(1)

## a variant for a type in another module
import more
from helpers import g
def f(): return {'a': g(5)}
-- helpers.py
from functools import singledispatch
@singledispatch
def g(x): ...
-- more.py
from helpers import g
@g.register
def _(x: int): return 1

## a subclass in another module
import more
from helpers import B
def f(): return {'a': B.__subclasses__()[0].x}
-- helpers.py
class B: ...
-- more.py
from helpers import B
class C(B): x = 1

## a subclass that a base knows
import more
from helpers import T
def f(): return {'a': T[0].x}
-- helpers.py
T = []
class B:
 def __init_subclass__(c): T.append(c)
-- more.py
from helpers import B
class C(B): x = 1

## a module's attribute on demand
import helpers
def f(): return {'a': helpers.N}
-- helpers.py
def __getattr__(n): return 1

## a module on demand
import p
def f(): return {'a': p.a.g()}
-- p/__init__.py
import importlib
def __getattr__(n): return importlib.import_module(f'.{n}', __name__)
-- p/a.py
def g(): return 1

## a name that a package gives on demand
import p_lazy
def f(): return {'a': p_lazy.g()}
-- p_lazy/__init__.py
import made_up_loader
__getattr__ = made_up_loader.attach(__name__, {'g': 'a'})
-- p_lazy/a.py
def g(): return 1
-- ../site-packages/made_up_loader.py
import importlib
def attach(package, names):
 return lambda name: getattr(importlib.import_module(f'{package}.{names[name]}'), name)

## a module by text
import importlib
def f(): return {'a': importlib.import_module('helpers').g()}
-- helpers.py
def g(): return 1

## a module by a computed text
import importlib
def f(): return {'a': importlib.import_module('help' + 'ers').g()}
-- helpers.py
def g(): return 1

## a module that is reloaded
import importlib, helpers
def f(): return {'a': importlib.reload(helpers).g()}
-- helpers.py
def g(): return 1

## a fallback
try:
 import no_such as h
except ImportError:
 import helpers as h
def f(): return {'a': h.g()}
-- helpers.py
def g(): return 1

## a type alias of another module | int | float
from helpers import N
def f(): return {'a': N('3')}
-- helpers.py
N = int

## a name in a frame's query
import pandas as pd
N = 1
def f(): return pd.DataFrame({'a': [1, 2, 3]}).query('a > @N')

## a name in a frame's eval
import pandas as pd
N = 1
def f(): return pd.DataFrame({'a': [3]}).eval('b = a * @N')

## a name in pandas' eval
import pandas as pd
N = 1
def f(): return {'a': float(pd.eval('N + 3'))}

## a helper's name in a frame's query
import pandas as pd
import helpers
def f(): return pd.DataFrame({'a': [1, 2, 3]}).query('a > @helpers.N')
-- helpers.py
N = 1

## a query that a constant is | N = 1 | N = 2
import pandas as pd
N = 1
Q = 'a > @N'
def f(): return pd.DataFrame({'a': [1, 2, 3]}).query(Q)

## a query that is handed on | N = 1 | N = 2
import pandas as pd
N = 1
def g(q): return pd.DataFrame({'a': [1, 2, 3]}).query(q)
def f(): return g('a > @N')

## a query with a format
import pandas as pd
N = 1
C = 'a'
def f(): return pd.DataFrame({'a': [1, 2, 3]}).query(f'{C} > @N')

## a table in a query | [1] | [2]
import duckdb, pyarrow as pa
T = pa.table({'a': [1]})
def f(): return duckdb.connect().sql('select * from T').to_arrow_table()

## a table in a query of a class, of which another method has such a local name | [1] | [2]
import duckdb, pyarrow as pa
T = pa.table({'a': [1]})
class Reader:
 def other(self, T): return T
 def rows(self): return duckdb.connect().sql('select * from T').to_arrow_table()
def f(): return Reader().rows()

## a table in a query beside an inner function with such a local name | [1] | [2]
import duckdb, pyarrow as pa
T = pa.table({'a': [1]})
def f():
 def other(T): return T
 return duckdb.connect().sql('select * from T').to_arrow_table()

## a table in a query beside a lambda with such a name | [1] | [2]
import duckdb, pyarrow as pa
T = pa.table({'a': [1]})
def f():
 other = lambda T: T
 return duckdb.connect().sql('select * from T').to_arrow_table()

## a table in a query beside a comprehension with such a name | [1] | [2]
import duckdb, pyarrow as pa
T = pa.table({'a': [1]})
def f():
 others = [T for T in 'xy']
 return duckdb.connect().sql('select * from T').to_arrow_table()

## a name in a frame's query beside a loop in a comprehension | N = 1 | N = 2
import pandas as pd
N = 1
def f(): return pd.DataFrame({'a': [len([N for N in 'ab']), 1]}).query('a > @N')

## a class in a quoted annotation, beside an argument of its name
import dataclasses, typing
class T:
 n: int = 1
def f(T: "T" = None): return {'a': 1}

## a table in a query of a relation
import duckdb, pyarrow as pa
T = pa.table({'a': [1]})
Q = 'select * from T'
def f():
 con = duckdb.connect()
 return {'a': con.sql('select 5').query('r', Q).fetchall()[0][0]}

## a table in a computed query | [1] | [2]
import duckdb, pyarrow as pa
T = pa.table({'a': [1]})
def g(name): return duckdb.sql(f'select * from {name}').to_arrow_table()
def f(): return g(f'{"t".upper()}')

## a table of another module in a computed query
import duckdb
from helpers import *
def g(name): return duckdb.sql(f'select * from {name}').to_arrow_table()
def f(): return g(f'{"t".upper()}')
-- helpers.py
from deep import T
-- deep.py
import pyarrow as pa
N = 1
T = pa.table({'a': [N]})

## a function in a computed query of a frame
import pandas as pd
def n(): return 1
def g(name): return pd.DataFrame({'a': [1, 2, 3]}).query(f'a > @{name}()')
def f(): return g('N'.lower())

## a name in a query that the function imports
import pandas as pd
def f():
 from helpers import N
 return pd.DataFrame({'a': [1, 2, 3]}).query('a > @N')
-- helpers.py
N = 1

## a module that a text of code imports
def f(): return {'a': eval('__import__("helpers").g()')}
-- helpers.py
def g(): return 1

## what a text of code runs
import helpers
def f():
 found = {'helpers': helpers}
 exec('x = helpers.g()', found)
 return {'a': found['x']}
-- helpers.py
def g(): return 1

## a table in a query of the module | [1] | [2]
import duckdb, pyarrow as pa
T = pa.table({'a': [1]})
def f(): return duckdb.sql('select * from T').to_arrow_table()

## a table in a query by name | [1] | [2]
from duckdb import sql as q
import pyarrow as pa
T = pa.table({'a': [1]})
def f(): return q('select * from T').to_arrow_table()

## a table in a query that is executed | [1] | [2]
import duckdb, pyarrow as pa
T = pa.table({'a': [1]})
def f(): return {'a': duckdb.connect().execute('select * from T').fetchall()[0][0]}

## a module beside those that were searched
import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent / 'lib'))
import made_up_lib as h
def f(): return {'a': h.g()}
-- lib/made_up_lib.py
def g(): return 1

## a subclass that only another node's code loads
from helpers import B
import importlib as i
def f(): return {'a': sum(c.x for c in B.__subclasses__())}
def load():
 i.import_module('more')
 return {'a': 0}
-- helpers.py
class B: ...
-- more.py
from helpers import B
class C(B): x = 1
-- p.yaml
nodes:
  load: {python: "steps:load"}
  node: {python: "steps:f", needs: load}
"""

# As above, in a run that has its process to itself, where modules are found by their own names.
OF_MODULES = r"""
## a module among the loaded ones
import sys, helpers
def f(): return {'a': sys.modules[helpers.__name__].g()}
-- helpers.py
def g(): return 1

## a module that is run
import runpy
def f(): return {'a': runpy.run_path('helpers.py')['g']()}
-- helpers.py
def g(): return 1

## a helper that is patched in a test's way
from unittest import mock
import helpers
def f():
 with mock.patch('helpers.N', 5): return {'a': helpers.g()}
-- helpers.py
N = 3
def g(): return N + 1

## a module that pickle names
import pickle
from pathlib import Path
def f(): return {'a': pickle.loads(DATA)}
DATA = b'chelpers\ng\n)R.'
-- helpers.py
def g(): return 1

## a module that pickle names, under another name
from pickle import loads as l
DATA = b'chelpers\ng\n)R.'
def f(): return {'a': l(DATA)}
-- helpers.py
def g(): return 1

## a module that pickle names, by star
from pickle import *
DATA = b'chelpers\ng\n)R.'
def f(): return {'a': loads(DATA)}
-- helpers.py
def g(): return 1

## a module that an unpickler names
import io, pickle
DATA = b'chelpers\ng\n)R.'
def f(): return {'a': pickle.Unpickler(io.BytesIO(DATA)).load()}
-- helpers.py
def g(): return 1

## a module that pydoc finds
import pydoc
def f(): return {'a': pydoc.locate('.'.join(['helpers', 'g']))()}
-- helpers.py
def g(): return 1

## a module that pydoc finds, by name
from pydoc import locate
def f(): return {'a': locate('.'.join(['helpers', 'g']))()}
-- helpers.py
def g(): return 1

## a module that an entry point names
from importlib.metadata import EntryPoint
def f(): return {'a': EntryPoint('x', 'help' + 'ers:g', 'y').load()()}
-- helpers.py
def g(): return 1

## a module that pkgutil finds
import pkgutil
def f(): return {'a': pkgutil.resolve_name('helpers:' + 'g')()}
-- helpers.py
def g(): return 1

## a module that a process runs
import subprocess, sys
def f(): return {'a': subprocess.check_output([sys.executable, '-m', 'help' + 'ers']).decode()}
-- helpers.py
print(1)

## a module that a process runs, by text
import subprocess
def f(): return {'a': subprocess.getoutput('python3 -m help"ers"')}
-- helpers.py
print(1)

## a module that a process runs, by words
import subprocess
WORDS = ['/usr/bin/env', 'python3', '-m', 'help' + 'ers']
def f(): return {'a': subprocess.check_output(WORDS).decode()}
-- helpers.py
print(1)

## a module that a process imports
import subprocess, sys
def f(): return {'a': subprocess.check_output([sys.executable, '-c', 'import help' + 'ers']).decode()}
-- helpers.py
print(1)

## a module that the shell runs
import os
def f(): return {'a': os.popen('python3 -m help"ers"').read()}
-- helpers.py
print(1)

## an object that the collector finds
import gc, helpers
def f(): return {'a': [o for o in gc.get_objects() if isinstance(o, type) and vars(o).get('tag') == 'made-up'][0].x}
-- helpers.py
from more import C
-- more.py
class C:
 tag = 'made-up'
 x = 1

## a filter that a configuration names | 5 | 6
import logging.config
def f():
 logging.config.dictConfig({'version': 1, 'incremental': False, 'disable_existing_loggers': False,
  'filters': {'x': {'()': 'made_up_filters.make'}}})
 return {'a': logging.made_up}
-- made_up_filters.py
import logging
def make():
 logging.made_up = 5
 return logging.Filter()

## what timeit runs
import timeit
T = []
def f():
 timeit.timeit('T.append(helpers.g())', 'import helpers', number=1, globals={'T': T})
 return {'a': T[0]}
-- helpers.py
def g(): return 1
"""

# The edit replaces 3 by 4, unless the row says otherwise.
STAYS = r"""
## a module that is not imported
def f(): return {'a': 1}
-- other.py
N = 3

## a helper's comment
import helpers
def f(): return {'a': helpers.g()}
-- helpers.py
# 3
def g(): return 1

## a helper's other function
import helpers
def f(): return {'a': helpers.g()}
-- helpers.py
def g(): return 1
def h(): return 3

## a helper's other constant
import helpers
def f(): return {'a': helpers.g()}
-- helpers.py
def g(): return 1
N = 3

## a helper's docstring
import helpers
def f(): return {'a': helpers.g()}
-- helpers.py
'''3'''
def g(): return 1

## a helper of another function
import helpers
def f(): return {'a': 1}
def h(): return helpers.h()
-- helpers.py
def h(): return 3

## another module of a package
import p.a
def f(): return {'a': p.a.g()}
-- p/b.py
N = 3
-- p/__init__.py
-- p/a.py
def g(): return 1

## a module that type checkers load
from typing import TYPE_CHECKING
if TYPE_CHECKING: import helpers
def f(): return {'a': 1}
-- helpers.py
N = 3

## a module beside one that is named in full
import importlib
def f(): return {'a': importlib.import_module('helpers').g()}
-- helpers.py
def g(): return 1
-- other.py
N = 3

## a name that stands in no query | K = 3 | K = 4
import pandas as pd
N, M = 1, 5
K = 3
def f(): return pd.DataFrame({'a': [1, 2]}).query('a > @N')

## a test
import helpers
def f(): return {'a': helpers.g()}
-- helpers.py
def g(): return 1
-- test_steps.py
import steps
assert 3

## a text file
import helpers
def f(): return {'a': helpers.g()}
-- helpers.py
def g(): return 1
-- notes.txt
3

## what a message says of a module
def f():
 print('helpers says')
 return {'a': 1}
-- helpers.py
N = 3

## a module that a process does not run
import subprocess
def f(): return {'a': subprocess.check_output(['echo', 'x']).decode()}
-- helpers.py
N = 3

## what the versions of packages are asked for
import importlib.metadata
def f(): return {'a': importlib.metadata.version('pytest')}
-- other.py
N = 3

## a function beside a computed query
import duckdb
def f(): return duckdb.sql('select ' + '5 as a').to_arrow_table()
def other(): return 3

## a module of which the name of a file begins so
def f(): return {'a': 'helpers.log'}
-- helpers.py
N = 3

## what pickle writes
import pickle
def f(): return {'a': len(pickle.dumps([1], pickle.HIGHEST_PROTOCOL))}
-- other.py
N = 3

## an option of a program
import argparse
def f():
 parser = argparse.ArgumentParser()
 parser.add_argument('-m')
 return {'a': parser.parse_args(['-m', 'x']).m}
-- other.py
N = 3

## what the collector does
import gc
def f():
 gc.collect(0)
 return {'a': 1}
-- other.py
N = 3

## what a shell runs
import subprocess
def f(): return {'a': subprocess.run(['sh', '-ec', 'echo x'], capture_output=True).stdout.decode()}
-- other.py
N = 3

## a package's own name
import p
def f(): return {'a': p.__name__}
-- p/__init__.py
-- p/b.py
N = 3
"""

ROWS: list[Edit] = [
    *edits(RUNS_AGAIN, "1", "2", runs_again=True),
    *edits(OF_MODULES, "1", "2", runs_again=True, by="main"),
    *edits(STAYS, "3", "4", runs_again=False),
    Edit(
        name="a module that comes before another",
        files={"steps.py": FAST, **HELPERS},
        edit={"fast.py": "def g(): return 2\n"},
        runs_again=True,
    ),
    Edit(
        name="a module that is gone",
        files={"steps.py": FAST, **HELPERS, "fast.py": "def g(): return 2\n"},
        edit={"fast.py": None},
        runs_again=True,
    ),
    Edit(
        name="a module that hides an installed one",
        files={"steps.py": WITH_HELPERS, "../src/helpers.py": "def g(): return 1\n"},
        edit={"helpers.py": "def g(): return 2\n"},
        runs_again=True,
    ),
    Edit(
        name="a package in the place of a module",
        files={"steps.py": WITH_HELPERS, **HELPERS},
        edit={"helpers/__init__.py": "def g(): return 2\n"},
        runs_again=True,
    ),
    Edit(
        name="a new module that a plug-in folder has",
        files={"steps.py": PLUG_INS, "p/__init__.py": "", "p/a.py": ""},
        edit={"p/b.py": ""},
        runs_again=True,
    ),
    Edit(
        name="a module is renamed and nothing reads it",
        files={"steps.py": WITH_HELPERS, **HELPERS, "other.py": "N = 3\n"},
        edit={"other.py": None, "another.py": "N = 3\n"},
        runs_again=False,
    ),
    Edit(
        name="a new module that nothing imports",
        files={"steps.py": WITH_HELPERS, **HELPERS},
        edit={"new.py": "N = 3\n"},
        runs_again=False,
    ),
    Edit(
        name="the function is imported from elsewhere",
        files={"steps.py": "from helpers import f\n", "helpers.py": "def f(): return {'a': 1}\n"},
        edit={"helpers.py": "def f(): return {'a': 2}\n"},
        runs_again=True,
    ),
]  # fmt: skip
