"""Reads one statement: which paths its expressions may have as values, and what it shows about reuse. Runs nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from nfrun.code.bindings import FUNCTIONS, Function, parts_of
from nfrun.code.effects import CHANGERS, DEFINING, MUTATORS, REMOVERS
from nfrun.code.facts import global_state
from nfrun.code.facts.addresses import client_of, hosts_in
from nfrun.code.facts.clocks import Times, may_be_timed
from nfrun.code.facts.code_facts import CodeFact
from nfrun.code.facts.names import Names, Scope
from nfrun.code.facts.path_terms import (
    METHODS,
    NO_FILE,
    UNKNOWN,
    Findings,
    NativeCall,
    Term,
    any_of,
    filled,
    role_of,
    sum_of,
    text_of,
)
from nfrun.code.facts.unseen_calls import is_writer, kind_of_call, kind_of_method, kind_of_use, may_be_reader
from nfrun.code.fingerprint import Fingerprints

# What gets a folder and does not look into it, and arguments that are folders to work in.
_NO_READERS = re.compile(
    r"mkdir|makedirs|mkdtemp|l?exists|is_?dir|is_?file|f?chdir|rmtree|remove|unlink|rmdir|rename|move|(?:is_)?relative_to"
    r"|relpath|commonpath|\w+swith|touch|chmod|utime|isinstance|len|open|get|index|join|base_?name|dir_?name|split\w*"
    r"|[gs]etattr|hasattr|type|hash|id|repr|access|disk_usage|count"
)
_CHANGERS = re.compile("mkdir|touch|unlink|rmdir|write_text|write_bytes")  # methods of paths that read nothing
_FOLDERS = ("cwd", "dir", "prefix", "config")
_TIMES = re.compile(r"(?:.*\.)?(?:get[mca]time|st_(?:[mca]|birth)time(?:_ns)?)")
_PATH_ARGUMENTS = re.compile(
    r"source|paths?|path_or_(?:paths|buf)|where|file|io|input_file|database|output_file|sink|dest|base_dir|root_path|target"
    r"|workbook|file_?name|fname"
)
_COMMAND_ARGUMENTS = re.compile("args|query|cmd|command|program|path_or_model")
_VALUES = re.compile("params|parameters")  # of a query
_CONSTANTS = {"os.sep": "/", "os.curdir": ".", "os.pardir": "..", "sys.executable": "python3"}
_EXACT = re.compile(r"[\w.]+:\w+")
_POSITIONS = 8  # of arguments that are told apart

_NAMES = (ast.Attribute, ast.Name, ast.Subscript)
_VARIABLE = re.compile(r"([\w.]+:\w+)(?:\.\w+|\[\])*")
_ONLY_WRITES = {"append", "extend", "add", "update", "insert", "clear", "appendleft", "put"}


class _Call(NamedTuple):
    """The parts of a call: the name of the function as `Names.of` returns it, and terms."""

    node: ast.Call
    name: str
    is_library: bool
    method: str  # "" for a function of a library
    last: str
    owner: Term
    arguments: Sequence[Term]
    keywords: Sequence[tuple[str | None, Term]]

    def given(self, names: re.Pattern[str], at: int = 0) -> Term | None:
        """Return the argument at a position, or one that has one of the names."""
        found = [*self.arguments[at : at + 1], *(term for name, term in self.keywords if names.fullmatch(name or ""))]
        return found[0] if found else None

    @property
    def mode(self) -> str:
        """The first letter of the mode in which a file is opened."""
        nodes = [*self.node.args[0 if self.method else 1 :][:1]]
        nodes += [keyword.value for keyword in self.node.keywords if keyword.arg == "mode"]
        return next((str(node.value)[:1] for node in reversed(nodes) if isinstance(node, ast.Constant)), "")


class StatementReader:
    """Reads one statement at the top of a module. `shown` is the name of its file."""

    def __init__(self, module: str, package: str, shown: str, names: Names, code: Fingerprints) -> None:
        self._module, self._package, self._shown = module, package, shown
        self._names, self._code = names, code
        self._scope: Scope = {}
        self._inside = f"{module}:"  # the start of the keys of local names
        self._class = ""  # the class whose body is read
        self._returns = ""
        self._runs = False  # in nodes, not on import
        self._times = Times()
        self.found = Findings()

    def read(self, body: ast.AST, *, prints: bool = True) -> Findings:
        """Return what the statement shows. `prints`: what goes to stdout is logged.

        Of code that is nested too deep, all texts are names, and all names run.
        """
        if isinstance(body, FUNCTIONS):
            self.found.function = f"{self._module}:{body.name}"
        try:
            self._parts(ast.Module([body], []))  # type: ignore[list-item]
        except RecursionError:
            self._runs = True
            for node in ast.walk(body):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    self.found.named.append(("", self._module, self._constant(node)))
                elif isinstance(node, _NAMES):
                    (self._take if isinstance(node.ctx, ast.Load) else self._store)(node)
        self.found.time = self._times.of(body, prints=prints)
        return self.found

    # -- state that nodes share ----------------------------------------------------------------------------------------

    def _take(self, node: ast.expr, call: ast.Call | None = None) -> str:
        """Take the use of a name with its attributes and items, and return what it stands for."""
        name, found = self._names.of(node, self._module, self._scope), self.found
        found.asks_times = found.asks_times or _TIMES.fullmatch(name or getattr(node, "attr", "")) is not None
        if may_be_timed(name or f".{getattr(node, 'attr', '')}"):
            self._times.take_name(name, node, call, self._where(node))
        if not name:
            return ""
        if client := client_of(name):
            found.network.append(self._fact(client, node)._replace(is_client=True))
        variable = _variable(name)
        if variable:
            found.used.add(variable)
        elif ":" not in name:
            found.libraries.add(name)
        if self._runs:
            if used := global_state.used_state(name, call):
                found.global_state.append(self._fact(used, node))
            if variable and (call is None or getattr(node, "attr", "") not in _ONLY_WRITES):
                found.read.setdefault(variable, self._fact(variable, node))
        return name

    def _take_changes(self, call: ast.Call, name: str) -> None:
        """Take a change by a call in a node: of the object of its method, or of its first argument."""
        changed = ""
        if isinstance(call.func, ast.Attribute):
            receiver = self._names.of(call.func.value, self._module, self._scope)
            variable = _variable(receiver)
            value = self._names.value_of(variable) if variable else None
            meaning = self._names.of(value[1], value[0], {}) if value else ""
            is_own = ":" in name and "()" not in name and "[]" not in name
            if (variable or not is_own) and global_state.unseeded_sample(call, meaning or receiver):
                self.found.global_state.append(self._fact(".sample", call))
            is_change = call.func.attr in MUTATORS | REMOVERS and not meaning.endswith("getLogger()")
            changed = variable if is_change or global_state.is_generator(meaning) else ""
        if ":" not in name and name.rpartition(".")[2] in CHANGERS and call.args:
            changed = _variable(self._names.of(call.args[0], self._module, self._scope))
        if changed:
            self.found.assigned.setdefault(changed, self._fact(changed, call))

    def _store(self, node: ast.expr) -> None:
        """Take an assignment to a name, an attribute or an item, or its removal."""
        if self._runs:
            name = self._names.of(node, self._module, self._scope)
            if isinstance(node, ast.Name):
                name = "" if node.id in self._scope else f"{self._module}:{node.id}"  # declared as global
            if name in ("os.environ", "os.environ[]"):
                self.found.global_state.append(self._fact("os.environ", node))
            elif variable := _variable(name):
                self.found.assigned.setdefault(variable, self._fact(variable, node))

    def _text(self, text: str, node: ast.AST) -> None:
        self._times.take_text(text, self._where(node))
        if "file_search_path" in text:  # of DuckDB: names are those of files in other folders, too
            self.found.calls.append(NativeCall("reader", self._fact("file_search_path", node), self._module, UNKNOWN))
        self.found.network += [self._fact(host, node) for host in hosts_in(text)]

    # -- statements ----------------------------------------------------------------------------------------------------

    def _parts(self, node: ast.AST) -> None:
        for part in parts_of(node):
            if isinstance(part, ast.stmt):
                self._statement(part)
            elif isinstance(part, ast.expr):
                self._use(self._term(part))
            elif isinstance(part, ast.withitem):
                term = self._term(part.context_expr)
                self._bind(part.optional_vars, term)
            else:
                self._parts(part)

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
                self._function(node, name)
            case ast.ClassDef():
                self._class_body(node)
            case ast.Expr(ast.Constant()):
                pass  # a docstring
            case ast.Return(ast.expr() as value):
                self._bind_key(self._returns, self._term(value))
            case ast.Assign([ast.Name(name)], ast.Lambda() as function):
                self._function(function, name)
            case ast.Assign(targets, value):
                term = self._term(value)
                for target in targets:
                    self._bind(target, term)
            case ast.AnnAssign(target, _, ast.expr() as value):
                self._bind(target, self._term(value))
            case ast.AugAssign(target, operator, value):
                term = self._term(value)
                self._bind(target, Term("path" if isinstance(operator, ast.Div) else "sum", (self._term(target), term)))
                self._bind(target, term if isinstance(value, ast.List) else NO_FILE)
            case ast.For(target, iterable) | ast.AsyncFor(target, iterable):
                self._bind(target, Term("item", (self._term(iterable),)))
                self._parts(ast.Module(node.body + node.orelse, []))
            case ast.Delete(targets):
                for target in targets:
                    self._bind(target, NO_FILE)
            case ast.Raise(ast.Call(function, arguments, keywords), cause):
                self._take(function)
                for part in (*arguments, *(keyword.value for keyword in keywords), *([cause] if cause else ())):
                    self._term(part)  # for people: only calls in it matter
            case _:
                self._parts(node)

    def _function(self, node: Function, name: str) -> None:
        """Read a function. The names in it and in functions in it are not told apart."""
        decorators = getattr(node, "decorator_list", [])
        self._decorators(decorators)
        outer = self._scope, self._inside, self._class, self._returns, self._runs
        is_top = self._inside.endswith(":") or bool(self._class)
        called = [f".{name}"]
        if is_top and not self._class:
            called = [f"{self._module}:{name}", f".{name}"]
        elif self._class and name in ("__init__", "__new__"):
            called += [f"{self._module}:{self._class}", f".{self._class}"]
        is_method = self._class and not any(getattr(part, "id", "") == "staticmethod" for part in decorators)
        self._returns, self._class = f"{called[0]}()", ""
        arguments = node.args
        defaults = [self._term(part) for part in arguments.defaults]
        named = [NO_FILE if part is None else self._term(part) for part in arguments.kw_defaults]
        self._scope = self._names.scope_in(node, self._scope, self._module, self._package)
        if is_top:
            self._inside += f"{name}."
        self.found.functions.update(called)
        plain = [*arguments.posonlyargs, *arguments.args]
        values = [None] * (len(plain) - len(defaults)) + defaults
        for i, (argument, default) in enumerate(zip(plain, values, strict=True)):
            if is_method and not i:
                self.found.bound.append((f"{self._inside}{argument.arg}", NO_FILE))
            else:
                self._argument(argument.arg, called, [i - bool(is_method)], default)
        for argument, default in zip(arguments.kwonlyargs, named, strict=True):
            self._argument(argument.arg, called, [], default if default is not NO_FILE else None)
        for rest in filter(None, (arguments.vararg, arguments.kwarg)):
            self._argument(rest.arg, called, ["**", *range(len(plain) - bool(is_method), _POSITIONS)], None)
        for key in called[1:]:
            self.found.bound.append((f"{key}()", Term("key", (), (self._returns,))))
        if decorators:  # such as a property
            self.found.bound.append((f".{name}", Term("key", (), (self._returns,))))
        self._runs = name not in DEFINING
        if isinstance(node.body, list):
            for statement in node.body:
                self._statement(statement)
        else:
            self._bind_key(self._returns, self._term(node.body))
        self._scope, self._inside, self._class, self._returns, self._runs = outer

    def _decorators(self, decorators: Sequence[ast.expr]) -> None:
        used = {*self.found.used}
        for part in decorators:
            self._use(self._term(part))
        if self._inside.endswith(":"):
            self.found.decorating |= self.found.used - used
            self.found.used = used

    def _argument(self, name: str, called: Sequence[str], positions: Sequence[int | str], default: Term | None) -> None:
        keys = [f"{function}#{at}" for function in called for at in (*positions, name, "*")]
        self._bind_key(f"{self._inside}{name}", Term("soft", (), (*keys, f"#{name}")))
        if default is not None:
            self._bind_key(f"{self._inside}{name}", default)

    def _class_body(self, node: ast.ClassDef) -> None:
        self._decorators(node.decorator_list)
        for part in (*node.bases, *(keyword.value for keyword in node.keywords)):
            self._use(self._term(part))
        outer = self._scope, self._inside, self._class
        own = [f"{self._module}:{node.name}#", f".{node.name}#"]
        self.found.bound += [(f"{key[:-1]}{call}", NO_FILE) for key in own for call in ("", "()")]
        if not any(isinstance(part, FUNCTIONS) and part.name in ("__init__", "__new__") for part in node.body):
            for at in (*range(_POSITIONS), "*"):
                passed = Term("soft", (), tuple(f"{key}{at}" for key in own))
                bases = (self._names.of(base, self._module, self._scope) for base in node.bases)
                self.found.bound += [(f"{name}#{at}", passed) for name in bases if _EXACT.fullmatch(name)]
                fields = (part.target for part in node.body if isinstance(part, ast.AnnAssign))
                self.found.bound += [(f".{target.id}", passed) for target in fields if isinstance(target, ast.Name)]
        assigned = {
            each.id: ""
            for part in node.body
            if isinstance(part, ast.Assign | ast.AnnAssign)
            for each in ast.walk(part)
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
        }
        for statement in node.body:
            self._inside, self._class = f"{self._module}:{node.name}.", node.name
            self._scope = outer[0] if isinstance(statement, FUNCTIONS) else {**outer[0], **assigned}
            self._statement(statement)
        self._scope, self._inside, self._class = outer

    # -- names ---------------------------------------------------------------------------------------------------------

    def _bind_key(self, key: str, term: Term) -> None:
        self.found.bound.append((key, term))
        self._use(term)

    def _bind(self, target: ast.expr | None, term: Term) -> None:
        """Let the names in a target stand for the value, too."""
        if isinstance(target, _NAMES):
            self._store(target)
        if isinstance(target, ast.Attribute | ast.Subscript) and not isinstance(target.value, ast.Name):
            self._inner(target.value)
        if isinstance(target, ast.Name):
            self._bind_key(f"{self._inside if target.id in self._scope else f'{self._module}:'}{target.id}", term)
            if self._class:
                self.found.bound.append((f".{target.id}", term))
        elif isinstance(target, ast.Tuple | ast.List):
            for part in target.elts:
                self._bind(part, term)
        elif isinstance(target, ast.Attribute):
            self._bind_key(f".{target.attr}", term)
            if _EXACT.fullmatch(name := self._names.of(target, self._module, self._scope)):
                self.found.bound.append((name, term))
        elif isinstance(target, ast.Subscript):
            self._use(term)
            self._use(self._term(target.slice))
            self._add(target.value, term)
            if isinstance(target.slice, ast.Constant):
                self.found.bound.append((f".{target.slice.value!s}", term))
        elif isinstance(target, ast.Starred):
            self._bind(target.value, term)
        else:
            self._use(term)

    def _add(self, owner: ast.expr, term: Term) -> None:
        """Let a container stand for the values that are put into it, too."""
        while isinstance(owner, ast.Subscript):
            owner = owner.value
        if isinstance(owner, ast.Name | ast.Attribute):
            found = self._inner(owner)
            self.found.bound += [(key, term) for key in found.keys if found.op in ("key", "attr")]

    def _use(self, term: Term, how: str = "") -> None:
        """Take a value that is made or handed on."""
        if (term.is_path or term.names) and (how or term.op not in ("key", "attr", "soft")):
            self.found.named.append((how, self._module, term))

    # -- expressions ---------------------------------------------------------------------------------------------------

    def _term(self, node: ast.expr) -> Term:
        """Return the term of an expression, and collect the facts in it."""
        if isinstance(node, _NAMES):
            self._take(node)
        return self._inner(node)

    def _inner(self, node: ast.expr) -> Term:
        """Return the term of an expression that may be a part of a name, which was taken as a whole."""
        return _TERMS.get(type(node), StatementReader._other)(self, node)

    def _other(self, node: ast.expr) -> Term:
        self._parts(node)
        return UNKNOWN

    def _constant(self, node: ast.Constant) -> Term:
        value = node.value.decode("utf-8", "replace") if isinstance(node.value, bytes) else node.value
        if isinstance(value, str):
            self._text(value, node)
        return text_of(str(value)) if isinstance(value, str | int | float) else NO_FILE

    def _joined(self, node: ast.JoinedStr) -> Term:
        texts = [str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values]
        self._text("".join(texts), node)
        parts = zip(node.values, texts, strict=True)
        return sum_of([text_of(text) if isinstance(part, ast.Constant) else self._term(part) for part, text in parts])

    def _formatted(self, node: ast.FormattedValue) -> Term:
        term = self._term(node.value)
        return term if node.format_spec is None and node.conversion in (-1, 115) else UNKNOWN

    def _operator(self, node: ast.BinOp) -> Term:
        operator = type(node.op)
        nodes: list[ast.expr] = []
        left: ast.expr = node
        while isinstance(left, ast.BinOp) and type(left.op) is operator:  # not recursive: a sum may be long
            nodes.append(left.right)
            left = left.left
        nodes = [left, *reversed(nodes)]
        terms = [self._term(part) for part in nodes]
        if operator is ast.Add:
            return any_of(terms) if any(isinstance(part, ast.List | ast.Tuple) for part in nodes) else sum_of(terms)
        if operator is ast.Mod and terms[0].op == "text":
            right = node.right
            return filled(terms[0].keys[0], [self._term(part) for part in getattr(right, "elts", [right])])
        return Term("path", terms) if operator is ast.Div else UNKNOWN

    def _either(self, node: ast.IfExp) -> Term:
        self._use(self._term(node.test))
        return any_of([self._term(node.body), self._term(node.orelse)])

    def _all(self, node: ast.BoolOp | ast.List | ast.Tuple | ast.Set) -> Term:
        return any_of([self._term(part) for part in (node.values if isinstance(node, ast.BoolOp) else node.elts)])

    def _dict(self, node: ast.Dict) -> Term:
        terms: list[Term] = []
        for key, value in zip(node.keys, node.values, strict=True):
            terms.append(self._term(value))
            if isinstance(key, ast.Constant):
                self.found.bound.append((f".{key.value!s}", terms[-1]))  # it may become an argument or attribute
            terms += [] if key is None else [self._term(key)]
        return any_of(terms)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> Term:
        outer = self._scope
        for part in node.generators:
            term = Term("item", (self._term(part.iter),))
            targets = (each.id for each in ast.walk(part.target) if isinstance(each, ast.Name))
            self._scope = {**self._scope, **dict.fromkeys(targets, "")}
            self._bind(part.target, term)
            for test in part.ifs:
                self._use(self._term(test))
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        found = any_of([self._term(part) for part in parts])
        self._scope = outer
        return found

    def _same(self, node: ast.Starred | ast.Await | ast.NamedExpr) -> Term:
        term = self._term(node.value)
        if isinstance(node, ast.NamedExpr):
            self._bind(node.target, term)
        return term

    def _yield(self, node: ast.Yield | ast.YieldFrom) -> Term:
        if node.value is not None:
            self._bind_key(self._returns, self._term(node.value))
        return UNKNOWN

    def _subscript(self, node: ast.Subscript) -> Term:
        owner, index = node.value, node.slice
        if isinstance(owner, ast.Attribute) and owner.attr == "parents":
            up = index.value + 1 if isinstance(index, ast.Constant) and type(index.value) is int else 0
            return Term("up", [self._inner(owner.value)] * up) if up > 0 else UNKNOWN
        self._use(self._term(index))
        return Term("slice" if isinstance(index, ast.Slice) else "item", (self._inner(owner),))

    def _lambda(self, node: ast.Lambda) -> Term:
        self._function(node, f"lambda {node.lineno}:{node.col_offset}")
        return NO_FILE

    def _name(self, node: ast.Name) -> Term:
        name = node.id
        if name in self._scope:
            meaning = self._scope[name]
            return Term("key", (), (meaning if _EXACT.fullmatch(meaning) else f"{self._inside}{name}",))
        if name in ("__file__", "__package__", "__name__"):
            file = self._code.source.file_of(self._module)
            return UNKNOWN if file is None else text_of(str(file if name == "__file__" else file.parent))
        return self._meant(self._names.resolve(self._module, name), node)

    def _meant(self, name: str, node: ast.expr) -> Term:
        """Return the term of a name at the top of a module, or of a library."""
        if ":" in name and _EXACT.fullmatch(name):
            self.found.passed.append((name, NO_FILE))
            return Term("key", (), (name,))
        if kind := kind_of_call(name):  # a function that is handed on
            reads, writes = (None, UNKNOWN) if kind == "writer" else (UNKNOWN, None)
            self.found.calls.append(NativeCall(kind, self._fact(name, node), self._module, reads, writes))
        return text_of(_CONSTANTS[name]) if name in _CONSTANTS else NO_FILE if role_of(name) == "no_file" else UNKNOWN

    def _attribute(self, node: ast.Attribute) -> Term:
        name = self._names.of(node, self._module, self._scope)
        self.found.asks_times = self.found.asks_times or _TIMES.fullmatch(node.attr) is not None
        if name and "(" not in name and "[" not in name and (":" not in name or _EXACT.fullmatch(name)):
            return self._meant(name, node)
        owner = self._inner(node.value)
        return Term("up", (owner,)) if node.attr == "parent" else Term("attr", (owner,), (f".{node.attr}",))

    # -- calls ---------------------------------------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> Term:
        call = self._read_call(node)
        role = role_of(call.name) if call.is_library else METHODS.get(call.method, "")
        if role == "told":
            return UNKNOWN
        kind = self._native(call)
        self._written(call, role)
        found = self._path_of(call, role)
        callee = "" if call.is_library else call.name if _EXACT.fullmatch(call.name) else f".{call.last}"
        if callee and found is None:
            self._pass(callee, call)
            found = Term("attr" if callee[0] == "." else "key", (UNKNOWN,), (f"{callee}()",))
            if role == "edited" and found.op == "attr":
                found = Term(role, (call.owner, *call.arguments, *(term for _, term in call.keywords)), found.keys)
        self._hand_on(call, callee, "seen" if kind == "opener" else "")
        return UNKNOWN if found is None else found

    def _read_call(self, node: ast.Call) -> _Call:
        function = node.func
        name = self._take(function, node)
        if self._runs:
            self._take_changes(node, name)
        is_library = bool(name) and ":" not in name and "(" not in name and "[" not in name
        method = "" if is_library else getattr(function, "attr", "")
        last = getattr(function, "attr", "") or re.split("[.:]", name)[-1] or getattr(function, "id", "")
        owner = NO_FILE
        if isinstance(function, ast.Attribute):
            owner = NO_FILE if is_library else self._inner(function.value)
        elif not isinstance(function, ast.Name):
            owner = self._inner(function)
        arguments = [self._term(part) for part in node.args]
        keywords = [(keyword.arg, self._term(keyword.value)) for keyword in node.keywords]
        return _Call(node, name, is_library, method, last, owner, arguments, keywords)

    def _pass(self, callee: str, call: _Call) -> None:
        """Bind the arguments of a call of a function that may be one of the project."""
        bound = self.found.bound
        for i, (part, term) in enumerate(zip(call.node.args, call.arguments, strict=True)):
            bound.append((f"{callee}#{'*' if isinstance(part, ast.Starred) or i >= _POSITIONS else i}", term))
        for name, term in call.keywords:
            bound += [(f"{callee}#{name or '*'}", term), (f"{callee}#**", term)]
            if name and (callee[0] == "." or not self._is_function(callee)):
                bound += [(f"#{name}", term), (f".{name}", term)]  # the name of a field, perhaps

    def _is_function(self, key: str) -> bool:
        module, _, name = key.partition(":")
        symbols = self._code.source.symbols_of(module)
        return symbols is not None and any(isinstance(d.body, FUNCTIONS) for d in symbols.definitions.get(name, ()))

    def _hand_on(self, call: _Call, callee: str, how: str) -> None:
        """Take the arguments of a call: the folders among them count as a whole where a library may look into them."""
        is_added = call.method in MUTATORS or call.method == "__setitem__"
        is_whole = not how and not is_added and not _NO_READERS.fullmatch(call.last) and callee[:1] in ("", ".")
        self._use(NO_FILE if _CHANGERS.fullmatch(call.method) else call.owner, how)
        for name, term in [*(("", term) for term in call.arguments), *call.keywords]:
            self._use(term, "whole" if is_whole and name not in _FOLDERS else how)
        given = [*call.arguments, *(term for _, term in call.keywords)]
        others = any_of(given)
        for term in given:
            if term.op in ("key", "attr"):
                keys = (f".{key.rpartition('.')[2]}" if term.op == "attr" else key for key in term.keys)
                self.found.passed += [(key, others) for key in keys]
        if is_added and isinstance(call.node.func, ast.Attribute):
            self._add(call.node.func.value, others)
        if call.last == "setattr" and len(call.arguments) == 3:
            key = call.arguments[1].keys[0] if call.arguments[1].op == "text" else "*"
            self.found.bound.append((f".{key}", call.arguments[2]))

    def _path_of(self, call: _Call, role: str) -> Term | None:
        """Return the term of a call that joins paths or hands them on, None if it is none."""
        arguments, owner = call.arguments, call.owner
        first = arguments[0] if arguments else NO_FILE
        if role == "same":
            roots = [term for name, term in call.keywords if name == "root_dir"]
            return owner if call.method else Term("path", (*roots, first)) if roots else any_of(arguments)
        if role == "no_file":
            return Term("read", (owner,)) if call.method == "read_text" else NO_FILE
        if role == "field":
            factory = [UNKNOWN for name, _ in call.keywords if name == "default_factory"]
            return any_of([*factory, *(term for name, term in call.keywords if name == "default")])
        if role == "path":
            return Term("path", arguments or (text_of("."),))
        if role == "here":
            return text_of(".")
        if role == "up":
            return Term("up", (first,))
        if role == "listed":
            inner = Term("path", (first if arguments else text_of("."), UNKNOWN))
            self._use(inner)
            return UNKNOWN if call.last == "listdir" else any_of([first, inner])
        if role == "resource":
            return Term("path", (self._package_folder(first), *arguments[1:]))
        if role == "below":
            between = {"rglob": [text_of("**")], "iterdir": [UNKNOWN], "walk": [UNKNOWN]}.get(call.method, [])
            inner = Term("path", (owner, *between, *arguments))
            self._use(inner)
            return inner
        if role == "with":
            return Term(call.method, (owner, first))
        if call.method == "get" and arguments:
            return any_of([owner, *arguments[1:]])
        if call.method == "format" and owner.op == "text":
            return filled(owner.keys[0], arguments, dict(call.keywords))
        if call.name in ("os.environ.get", "os.getenv") and len(arguments) > 1:
            return any_of([arguments[1], UNKNOWN])
        if call.method == "join" and owner.op == "text" and owner.keys[0] in ("/", ""):
            parts = first.parts if first.op == "any" else [UNKNOWN]
            return Term("path", parts) if owner.keys[0] else sum_of(parts)
        return None

    def _package_folder(self, package: Term) -> Term:
        name = package.keys[0] if package.op == "text" else "/"
        file = None if "/" in name else self._code.source.file_of(name)
        return package if "/" in name else text_of(str(file.parent) if file is not None else name.replace(".", "/"))

    # -- calls that use files unseen -----------------------------------------------------------------------------------

    def _native(self, call: _Call) -> str:
        """Take a call of a function that uses files unseen, and return its kind."""
        name, method, node = call.name, call.method, call.node
        kind, what, handed_on = kind_of_use(name), name, ""
        if kind == "writer" and "()" in name:
            what = f".{call.last}"
        if name == "getattr" and len(node.args) > 1:
            looked_in = self._names.of(node.args[0], self._module, self._scope)
            if may_be_reader(looked_in, node.args[1]):
                kind, what = "getattr", f"getattr({looked_in}, …)"
        elif not kind and method:
            # Not a method of an object whose class the project may define.
            is_own = getattr(getattr(node.func, "value", None), "id", "") in ("self", "cls")
            own = kind_of_use(f".{method}")
            if own == "opener" or (own == "writer" and not name and not is_own):
                kind, what = own, f".{method}"
            elif not is_own and (own := kind_of_method(method)) and not self._is_function(name):
                kind, what, handed_on = own, f".{method}", method
        is_fork = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == "fork"
        if kind and not (kind == "processes" and is_fork):
            native = NativeCall(kind, self._fact(what, node), self._module, method=handed_on)
            self._fill(native, call)
            self.found.calls.append(native)
            if native.writes is not None and kind != "opener":
                self.found.named.append(("written", self._module, native.writes))
        return kind

    def _fill(self, native: NativeCall, call: _Call) -> None:
        """Set the paths that a call reads and writes."""
        what, kind = native.fact.what, native.kind
        if kind == "command":
            is_each = "exec" in what or "spawn" in what
            line = call.given(_COMMAND_ARGUMENTS) or UNKNOWN
            words = [*call.arguments] if is_each else [line]
            parts = [part for word in words for part in (word.parts if word.op == "any" else [word])]
            native.words = parts or [UNKNOWN]
            native.folder = any_of([term for name, term in call.keywords if name == "cwd"])
            return
        path = call.given(_COMMAND_ARGUMENTS if kind == "query" else _PATH_ARGUMENTS)
        if kind == "query":
            native.words = [values] if (values := call.given(_VALUES, 1)) else []
        if kind == "opener":
            path = call.owner if what[0] == "." else path
        if kind == "writer":
            # The first argument is the table.
            at = 1 if re.match(r"pyarrow\..*\.write_", what) else 0
            native.writes = call.given(_PATH_ARGUMENTS, at) or NO_FILE
        elif (call.mode == "w" and kind != "query") or (
            kind == "opener" and (call.mode in ("a", "x") or what.startswith(".write_"))
        ):
            native.writes = path or UNKNOWN
        elif kind != "processes":
            is_none = what == "duckdb.connect" or (native.method and not call.keywords)
            native.reads = (path if kind != "getattr" else None) or (NO_FILE if is_none else UNKNOWN)

    def _written(self, call: _Call, role: str) -> None:
        """Take the paths that a call seems to write."""
        by_name = (term for name, term in call.keywords if name and _PATH_ARGUMENTS.fullmatch(name))
        paths = [*call.arguments[:2], *by_name]
        how = "appended" if role == "log" else "written"
        if call.last in ("open", "write_text", "write_bytes"):
            how = {"a": "appended", "w": how, "x": how}.get(call.mode if call.last == "open" else "w", "")
            paths = [call.owner] if call.method else paths[:1]
        elif role != "log" and not is_writer(call.last):
            return
        self.found.named += [(how, self._module, term) for term in paths if how]

    def _fact(self, what: str, node: ast.AST) -> CodeFact:
        return CodeFact(what, self._where(node))

    def _where(self, node: ast.AST) -> str:
        return f"{self._shown}:{getattr(node, 'lineno', 0)}"


_TERMS: dict[type[ast.AST], Callable[..., Term]] = {
    ast.Constant: StatementReader._constant,
    ast.JoinedStr: StatementReader._joined,
    ast.FormattedValue: StatementReader._formatted,
    ast.BinOp: StatementReader._operator,
    ast.IfExp: StatementReader._either,
    **dict.fromkeys((ast.BoolOp, ast.List, ast.Tuple, ast.Set), StatementReader._all),
    ast.Dict: StatementReader._dict,
    **dict.fromkeys((ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp), StatementReader._comprehension),
    **dict.fromkeys((ast.Starred, ast.Await, ast.NamedExpr), StatementReader._same),
    **dict.fromkeys((ast.Yield, ast.YieldFrom), StatementReader._yield),
    ast.Subscript: StatementReader._subscript,
    ast.Lambda: StatementReader._lambda,
    ast.Name: StatementReader._name,
    ast.Attribute: StatementReader._attribute,
    ast.Call: StatementReader._call,
}


def _variable(name: str) -> str:
    """Return the variable of a project's module that a name is in, such as "steps:CACHE", "" if it is in none."""
    found = _VARIABLE.fullmatch(name)
    return found[1] if found else ""
