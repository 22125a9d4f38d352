"""Edits of a node's code. `tests/code/test_fingerprint.py` has more kinds of code, most of which cannot be run."""

from __future__ import annotations

from edit import Edit, edited, edits

F = "def f(): return {'a': g()}\n"
G = "def g(): return 1\n"

# The edit replaces 1 by 2, unless the row says otherwise.
RUNS_AGAIN = r"""
## a number
def f(): return {'a': 1}

## a text
def f(): return {'a': 'x1'}

## an operator | - | +
def f(): return {'a': 7 - 4}

## a comparison | < | <=
def f(): return {'a': 3 < 3}

## a branch that is swapped | if 0 | if not 0
def f():
 if 0: return {'a': 1}
 return {'a': 2}

## text and bytes | 'x' | b'x'
def f(): return {'a': 'x'}

## an integer and a float | 1 | 1.0
def f(): return {'a': 1}

## a sign | 5 | -5
def f(): return {'a': 5}

## a slice
def f(): return {'a': 'abc'[1:]}

## the name of a column | 'a' | 'b'
def f(): return {'a': 3}

## the order of columns | 'a': 3, 'b': 4 | 'b': 4, 'a': 3
def f(): return {'a': 3, 'b': 4}

## what a format prints | .1f | .2f
def f(): return {'a': f'{1.26:.1f}'}

## how a format converts | !s | !r
def f(): return {'a': f'{"x"!s}'}

## a loop's else
def f():
 for x in 'a': pass
 else: return {'a': 1}

## a pattern | case 1 | case 2
def f():
 match 1:
  case 1: return {'a': 'x'}
 return {'a': 'y'}

## an exception that is caught
def f():
 try: 1 / 0
 except ZeroDivisionError: return {'a': 1}

## an inner function
def f():
 def h(): return 1
 return {'a': h()}

## a nonlocal name
def f():
 x = 0
 def h():
  nonlocal x
  x = 1
 h()
 return {'a': x}

## a default
def f(x=1): return {'a': x}

## a default by keyword
def f(*, x=1): return {'a': x}

## an unpacking | x, *y | *y, x
def f():
 x, *y = 5, 6, 7
 return {'a': x}

## a comprehension's condition
def f(): return {'a': len([x for x in range(4) if x > 1])}

## a walrus
def f(): return {'a': (x := 1) + x}

## a coroutine
async def f(): return {'a': 1}

## a generator
def g(): yield 1
def f(): return {'a': list(g())[0]}

## a docstring
def f():
 'of 1'
 return {'a': f.__doc__}

## a function
def f(): return {'a': g()}
def g(): return 1

## a constant
N = 1
def f(): return {'a': N}

## a constant that a call makes
def make(): return 1
N = make()
def f(): return {'a': N}

## a constant that a chain of calls makes
def h(): return 1
def make(): return h()
N = make()
def f(): return {'a': N}

## a constant in a format
N = 1
def f(): return {'a': f'{N}'}

## a constant of a constant
M = 1
N = M + 1
def f(): return {'a': N}

## one of several targets
M, (N, *O) = 3, (1, 4)
def f(): return {'a': N}

## a default that a call makes
def make(): return 1
def f(x=make()): return {'a': x}

## a lambda's default
g = lambda x=1: x
def f(): return {'a': g()}

## a closure's value
def outer(n): return lambda: n
g = outer(1)
def f(): return {'a': g()}

## a closure's code
def outer():
 def inner(): return 1
 return inner
g = outer()
def f(): return {'a': g()}

## a function in a table
def h(): return 1
T = {'h': h}
def f(): return {'a': T['h']()}

## a partial function
from functools import partial
def h(x): return x
g = partial(h, 1)
def f(): return {'a': g()}

## a cached function
from functools import lru_cache
@lru_cache
def g(): return 1
def f(): return {'a': g()}

## a decorator's code
def d(h): return lambda: 1
@d
def g(): ...
def f(): return {'a': g()}

## a decorator's argument
def d(n): return lambda h: lambda: n
@d(1)
def g(): ...
def f(): return {'a': g()}

## the order of decorators | @d\n@e | @e\n@d
def d(h): return lambda: h() + 1
def e(h): return lambda: h() * 2
@d
@e
def g(): return 3
def f(): return {'a': g()}

## a wrapper in another module
from helpers import d
@d
def f(): return {'a': 3}
-- helpers.py
import functools
def d(h):
 @functools.wraps(h)
 def w(): return h() | {'b': 1}
 return w

## a type alias | N = int | N = float
N = int
def f(): return {'a': N('3')}

## a loop on import
T = []
for x in range(1): T.append(x)
def f(): return {'a': len(T)}

## a block on import
import io
with io.StringIO('1') as x: N = x.read()
def f(): return {'a': N}

## what a branch on import asks | > 1 | < 1
import sys
if sys.maxsize > 1: N = 5
else: N = 6
def f(): return {'a': N}

## what a branch on import binds
import sys
if sys.maxsize > 5: N = 1
else: N = 6
def f(): return {'a': N}

## what is deleted on import | N[0]\n | N[1]\n
N = [1, 3]
del N[0]
def f(): return {'a': N[0]}

## an item set on import
T = {}
T['x'] = 1
def f(): return {'a': T['x']}

## an addition on import
N = 3
N += 1
def f(): return {'a': N}

## a name made by globals
globals()['N'] = 1
def f(): return {'a': N}

## a name made by exec
exec('N = 1')
def f(): return {'a': N}

## a function that globals finds
def f(): return {'a': globals()['g']()}
def g(): return 1

## a function that eval finds
def f(): return {'a': eval('g()')}
def g(): return 1

## a function that getattr finds
import sys
def f(): return {'a': getattr(sys.modules[__name__], 'g')()}
def g(): return 1

## a function that the frame finds
import sys
def f(): return {'a': sys._getframe().f_globals['g']()}
def g(): return 1

## a function that inspect finds
import inspect
def f(): return {'a': inspect.currentframe().f_globals['g']()}
def g(): return 1

## a context variable's default
from contextvars import ContextVar
V = ContextVar('V', default=1)
def f(): return {'a': V.get()}

## a context variable's value from another module
import helpers, other
def f(): return {'a': helpers.V.get(0)}
-- helpers.py
from contextvars import ContextVar
V = ContextVar('V')
-- other.py
import helpers
helpers.V.set
helpers.V = type('V', (), {'get': lambda s, d: 1})()

## a method
class C:
 def m(self): return 1
def f(): return {'a': C().m()}

## a base
class B: x = 1
class C(B): ...
def f(): return {'a': C.x}

## the order of bases | A, B | B, A
class A: x = 3
class B: x = 4
class C(A, B): ...
def f(): return {'a': C.x}

## a class body's call
def make(): return 1
class C: x = make()
def f(): return {'a': C.x}

## a method's default
def make(): return 1
class C:
 def m(self, x=make()): return x
def f(): return {'a': C().m()}

## a property
class C:
 @property
 def p(self): return 1
def f(): return {'a': C().p}

## a descriptor
class D:
 def __get__(self, o, t): return 1
class C: x = D()
def f(): return {'a': C().x}

## a descriptor's name
class D:
 def __set_name__(self, o, n): o.y = 1
class C: x = D()
def f(): return {'a': C.y}

## a metaclass
class M(type):
 def __call__(c): return 1
class C(metaclass=M): ...
def f(): return {'a': C()}

## a metaclass's attribute
class M(type): x = 1
class C(metaclass=M): ...
def f(): return {'a': C.x}

## what a base does with a class
class B:
 def __init_subclass__(c): c.x = 1
class C(B): ...
def f(): return {'a': C.x}

## a keyword of a class
class B:
 def __init_subclass__(c, n): c.x = n
class C(B, n=1): ...
def f(): return {'a': C.x}

## what a class gives for an item
class C:
 def __class_getitem__(c, i): return 1
def f(): return {'a': C[0]}

## a class that type makes
C = type('C', (), {'x': 1})
def f(): return {'a': C.x}

## a class that type makes of a function
def m(self): return 1
C = type('C', (), {'m': m})
def f(): return {'a': C().m()}

## a dataclass
from dataclasses import dataclass
@dataclass
class C: x: int = 1
def f(): return {'a': C().x}

## a dataclass's factory
from dataclasses import dataclass, field
def make(): return 1
@dataclass
class C: x: int = field(default_factory=make)
def f(): return {'a': C().x}

## a named tuple
from typing import NamedTuple
class C(NamedTuple): x: int = 1
def f(): return {'a': C().x}

## the fields of a named tuple | x y | y x
from collections import namedtuple
C = namedtuple('C', 'x y')
def f(): return {'a': C(3, 4).x}

## a member of an enumeration
from enum import Enum
class C(Enum): X = 1
def f(): return {'a': C.X.value}

## one more member of an enumeration | X = 1 | X = 1; Y = 2
from enum import Enum
class C(Enum): X = 1
def f(): return {'a': len(C)}

## what a pattern matches | ('x',) | ('y',)
class C:
 __match_args__ = ('x',)
 x, y = 1, 3
def f():
 match C():
  case C(n): return {'a': n}

## an attribute by text
from operator import attrgetter
class C: x = 1
def f(): return {'a': attrgetter('x')(C)}

## a method by text
from operator import methodcaller
class C:
 def m(self): return 1
def f(): return {'a': methodcaller('m')(C())}

## an attribute of a class set on import
class C: ...
C.x = 1
def f(): return {'a': C.x}

## a variant for a type
from functools import singledispatch
@singledispatch
def g(x): ...
@g.register
def _(x: int): return 1
def f(): return {'a': g(5)}

## a virtual base | B.register(C) | 3
import abc
class B(abc.ABC): ...
class C: ...
B.register(C)
def f(): return {'a': isinstance(C(), B)}

## a hint that is read | 'int' | 'str'
import typing
def g(x: 'int'): ...
def f(): return {'a': str(typing.get_type_hints(g))}

## a class in a hint
import typing
class C: x = 1
def g(x: 'C'): ...
def f(): return {'a': typing.get_type_hints(g)['x'].x}

## a subclass
class B: ...
class C(B): x = 1
def f(): return {'a': B.__subclasses__()[0].x}

## what is registered by a class's name
T = []
class M(type):
 def __init__(c, *a): T.append(c)
class C(metaclass=M): x = 1
def f(): return {'a': T[0].x}

## a schema that is made of another one, by a method that may change that
import pyarrow as pa
S = pa.schema([('a', pa.int64())])
N = S.append(pa.field('b1', pa.int64()))
def f(): return {'a': len(S)}
"""

# The edit replaces 3 by 4, unless the row says otherwise.
STAYS = r"""
## a comment
def f(): return {'a': 1}  # 3

## a comment above
# 3
def f(): return {'a': 1}

## an empty line | \n return | \n\n\n return
def f():
 return {'a': 1}

## an indentation | \n return | \n      return
def f():
 return {'a': 1}

## brackets | {'a': 1} | (\n {'a': 1,}\n)
def f(): return {'a': 1}

## quotes | 'a' | "a"
def f(): return {'a': 1}

## how a number is written | 1000 | 1_000
def f(): return {'a': 1000}

## how a text is written | 'x' | '\\x78'
def f(): return {'a': 'x'}

## another function
def f(): return {'a': 1}
def g(): return 3

## another function's docstring
def f(): return {'a': 1}
def g():
 '3'

## another constant
def f(): return {'a': 1}
N = 3

## another class
def f(): return {'a': 1}
class C: x = 3

## another dataclass
from dataclasses import dataclass
def f(): return {'a': 1}
@dataclass
class C: x: int = 3

## another enumeration
from enum import Enum
def f(): return {'a': 1}
class C(Enum): x = 3

## another cached function
from functools import lru_cache
def f(): return {'a': 1}
@lru_cache
def g(): return 3

## a new function | def f | def g(): return 2\ndef f
def f(): return {'a': 1}

## a new class | def f | class C: x = 3\ndef f
def f(): return {'a': 1}

## the order of functions | def g(): 5\ndef h(): 6 | def h(): 6\ndef g(): 5
def g(): 5
def h(): 6
def f(): return {'a': 1 if g() or h() else 0}

## the order of a function and a class | def g(): 5\nclass C: x = 1 | class C: x = 1\ndef g(): 5
def g(): 5
class C: x = 1
def f(): return {'a': g() or C.x}

## a text that names a function
def f(): return {'a': 'g'}
def g(): return 3

## an attribute of another's name
def f(): return {'a': 'x'.lower()}
def lower(): return 3

## an argument of another's name
def h(g): return g
def f(): return {'a': h(1)}
def g(): return 3

## a local name of another's name
def f():
 g = 1
 return {'a': g}
def g(): return 3

## what the module does as a program
def f(): return {'a': 1}
if __name__ == '__main__': print(3)

## what type checkers see
import typing
if typing.TYPE_CHECKING:
 N = 3
def f(): return {'a': 1}

## who calls it
def f(): return {'a': 1}
def g():
 f()
 return 3

## a method of another class
class C:
 def m(self): return 1
class D:
 def m(self): return 3
def f(): return {'a': C().m()}

## another constant that a mapping gives
T = {'x': 3}
N = T.get('x')
def f(): return {'a': 1}

## another constant that a call makes of a list
T = ['x']
N = dict(zip(T, [3]))
def f(): return {'a': len(T)}

## another constant that a library makes of a list
import pyarrow as pa
T = ['x', 'y']
N = pa.schema([(x, pa.int64()) for x in T], {'a': '3'})
def f(): return {'a': len(T)}

## another array that is made of one
import numpy as np
A = np.array([1.0])
N = np.sqrt(A) + 3
def f(): return {'a': float(A[0])}

## another pattern
import re
N = re.compile('3')
def f(): return {'a': 1}

## another path
from pathlib import Path
R = Path('x')
N = R.joinpath('3')
def f(): return {'a': R.name}

## another constant that a function makes
def make(n):
 t = []
 t.append(n)
 return t
N = make(3)
def f(): return {'a': 1}

## another object
class C:
 def __init__(self, n): self.n = n
N = C(3)
def f(): return {'a': C(1).n}

## another dataclass with a factory
from dataclasses import dataclass, field
@dataclass
class C:
 x: list = field(default_factory=list)
 y: int = 3
def f(): return {'a': 1}

## another function with a decorator of the module
import functools
def d(g):
 calls = []
 @functools.wraps(g)
 def w():
  calls.append(1)
  return g()
 return w
@d
def f(): return {'a': 1}
@d
def g(): return 3

## another named tuple
from collections import namedtuple
C = namedtuple('C', 'x3')
def f(): return {'a': 1}
"""

ROWS: list[Edit] = [
    edited("the reason", F + G, "1", "2", runs_again=True, reason="the function steps:g changed"),
    edited("by the command", F + G, "1", "2", runs_again=True, by="process"),
    edited("by a second run", F + G + "# 3", "3", "4", runs_again=False, by="run"),
    *edits(RUNS_AGAIN, "1", "2", runs_again=True),
    *edits(STAYS, "3", "4", runs_again=False),
]
