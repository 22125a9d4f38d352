"""The call of a mapped function for one piece: what it gets, and what comes back."""

from __future__ import annotations

import asyncio
import gc
import threading
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from types import ModuleType, SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.map_spec import MapSpec
from nfrun.core.pipeline import Gather, Input, NodeSpec, OutputId
from nfrun.core.values import replace
from nfrun.nodes.arguments import map_form
from nfrun.nodes.base import CancelToken, NodeError
from nfrun.nodes.mapped_run import run_whole
from nfrun.nodes.python import call_piece, call_piece_async
from nfrun.nodes.user_function import pool_of

PIECE = pa.table({"id": [1, 2, 3], "text": ["a", None, "ccc"]})


class Call:
    """The context of calls of one function, which is in the module `steps` of a folder."""

    def __init__(self, folder: Path, source: str, *inputs: str, **with_: Any) -> None:
        (folder / "steps.py").write_text(dedent(source))
        read = tuple(Input(name, OutputId(name)) for name in ("rows", *inputs))
        node = NodeSpec("n", "python", "steps:f", read, with_, (), (), {}, map=MapSpec("rows"))
        form = map_form(node, FunctionLookup(folder))
        self.node = replace(node, map=MapSpec("rows", form=form))
        self.memo: dict[Any, Any] = {}
        self.module = ModuleType("steps")
        self.module.__file__ = str(folder / "steps.py")
        exec(compile(dedent(source), self.module.__file__, "exec"), vars(self.module))
        self.made = SimpleNamespace(
            node=self.node, memo=self.memo, folder=folder, cancel_token=CancelToken(), run="r", attempt=2,
            environ={"A": "1"}, granted={}, import_module=lambda name: self.module, run_coroutine=asyncio.run,
            begin=lambda *, imported: self.began.append(imported),
        )  # fmt: skip
        self.began: list[bool] = []

    def __call__(self, piece: pa.Table = PIECE, **inputs: Any) -> Any:
        return call_piece(self.made, piece, inputs)

    def on_loop(self, *pieces: pa.Table, **inputs: Any) -> list[Any]:
        async def all_of_them() -> list[Any]:
            return list(await asyncio.gather(*[call_piece_async(self.made, piece, inputs) for piece in pieces]))

        return asyncio.run(all_of_them())


def test_a_function_of_values_is_called_for_each_row(tmp_path: Path) -> None:
    call = Call(tmp_path, "def f(text: str, n: int, id: int): return (id, text and text * n)", n=2)
    assert call() == [(1, "aa"), (2, None), (3, "cccccc")]
    assert call.began == [True]
    assert call() and call.began == [True, False]


def test_a_column_with_a_default_is_given_if_it_is_there(tmp_path: Path) -> None:
    call = Call(tmp_path, "def f(text: str, id: int = 7): return id")
    assert call() == [1, 2, 3] and call(PIECE.select(["text"])) == [7, 7, 7]


FORMS = {
    "list[int]": "3 <class 'list'>",
    "pa.Array": "3 <class 'pyarrow.lib.Int64Array'>",
    "pa.ChunkedArray": "3 <class 'pyarrow.lib.ChunkedArray'>",
    "np.ndarray": "3 <class 'numpy.ndarray'>",
}


@pytest.mark.parametrize("annotation", FORMS)
def test_a_batch_comes_in_the_form_that_the_annotation_names(tmp_path: Path, annotation: str) -> None:
    source = f"def f(id: '{annotation}'): return f'{{len(id)}} {{type(id)}}'"
    assert Call(tmp_path, source)() == FORMS[annotation]
    pieces = pa.concat_tables([PIECE.slice(0, 1), PIECE.slice(1)])
    assert Call(tmp_path, source)(pieces) == FORMS[annotation]


def test_a_numpy_batch_of_vectors_has_two_dimensions(tmp_path: Path) -> None:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array([1.0, 2.0, 3.0, 4.0]), 2)
    call = Call(tmp_path, "def f(v: np.ndarray): return v.shape, v.tolist()")
    assert call(pa.table({"v": vectors})) == ((2, 2), [[1.0, 2.0], [3.0, 4.0]])
    assert call(pa.table({"v": vectors}).slice(1)) == ((1, 2), [[3.0, 4.0]])
    assert call(pa.table({"v": vectors}).slice(2)) == ((0, 2), [])


def test_a_function_of_the_table_gets_the_piece_and_whole_inputs(tmp_path: Path) -> None:
    call = Call(tmp_path, "def f(rows, names, **rest): return [{'n': len(rows) + len(names), **rest}]", "names", x=1)
    assert call(names=PIECE.slice(1)).to_pylist() == [{"n": 5, "x": 1}]


def test_what_is_no_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="the function returned an int, which is not a table"):
        Call(tmp_path, "def f(rows): return 3")()
    with pytest.raises(NodeError, match="returned has two columns called 'id', and a map joins columns by name"):
        Call(tmp_path, "def f(rows): return rows.append_column('id', rows['id'])")()


def test_a_function_gets_the_context_and_values_of_its_own(tmp_path: Path) -> None:
    source = "def f(text: str, seen, context): seen.append(text); return context.attempt, len(seen)"
    call = Call(tmp_path, source, seen=[])
    assert call() == call() == [(2, 1)] * 3


def test_each_row_gets_mappings_of_its_own(tmp_path: Path) -> None:
    source = """
        def f(id: int, cells, seen):
            seen.append(id)
            del cells["a"]["x"]
            return len(cells["a"]), len(seen), cells["b"] is None
    """
    call = Call(tmp_path, source, "cells", seen=[])
    cells = {"a": {"x": PIECE, "y": PIECE}, "b": None}
    assert call(cells=cells) == call(cells=cells) == [(1, 1, True)] * 3
    assert list(cells["a"]) == ["x", "y"]


def test_each_call_of_a_batch_and_each_row_of_an_instance_get_their_own(tmp_path: Path) -> None:
    batch = Call(tmp_path, "def f(id: list[int], cells): return cells.pop('a').num_rows", "cells")
    assert [batch(cells=(cells := {"a": PIECE})), batch(cells=cells)] == [3, 3]
    source = """
        class f:
            def __init__(self, of_class): self.of_class = of_class
            def __call__(self, id: int, cells, seen):
                self.of_class.append(id)
                seen.append(id)
                return cells.pop("a").num_rows, len(seen), len(self.of_class)
    """
    call = Call(tmp_path, source, "cells", of_class=[], seen=[])
    assert call(cells=cells) == [(3, 1, 1), (3, 1, 2), (3, 1, 3)]


def test_an_instance_is_for_inputs_that_are_put_together_in_one_way(tmp_path: Path) -> None:
    call = Call(tmp_path, CLASS, "names", model="m", shift=1)
    cells = {OutputId("c@1"): (1,), OutputId("c@2"): (2,)}
    ways: list[dict[str, Any]] = [
        {"gather": Gather("concat", ("k",), cells, {"k": "int64"})},
        {"gather": Gather("concat", ("k",), cells)},
        {"gather": Gather("dict", ("k",), cells)},
        {"gather": Gather("dict", ("k",), dict(reversed(cells.items())))},
        {"gather": Gather("concat", ("k",), {OutputId("c@1"): (1,)}), "alternative": OutputId("c@2")},
    ]
    for i, way in enumerate(ways):
        for id in ("a", "b"):
            read = (call.node.inputs[0], Input("names", OutputId("c"), **way))
            call.made.node = replace(call.node, id=f"{id}{i}", inputs=read)
            call(names=PIECE)
    assert len(call.module.made) == len(ways)


def test_the_rows_of_a_batch_end_when_the_call_is_told_to_stop(tmp_path: Path) -> None:
    call = Call(
        tmp_path, "seen = []\ndef f(text: str, context): seen.append(text); context._node_context.cancel_token.cancel()"
    )
    with pytest.raises(NodeError):
        call()
    assert call.module.seen == ["a"]


def test_an_async_function_is_awaited_on_the_loop(tmp_path: Path) -> None:
    source = """
        import asyncio
        running = most = 0
        async def f(id: int):
            global running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1
            return id * 2
    """
    call = Call(tmp_path, source)
    assert call.on_loop(*[PIECE.slice(i, 1) for i in range(3)]) == [[2], [4], [6]]
    assert call.module.most == 3


CLASS = """
    import threading
    made, closed, ids = [], [], []
    class f:
        def __init__(self, model, names=None):
            made.append((model, names and len(names)))
            if model == "bad":
                raise ValueError("no such model")
        def __call__(self, text: list, shift):
            ids.append(id(self))
            barrier and barrier.wait(5)
            return [shift] * len(text)
        def close(self):
            closed.append(id(self))
    barrier = None
"""


def test_a_class_is_made_once_and_its_instance_is_called(tmp_path: Path) -> None:
    call = Call(tmp_path, CLASS, "names", model="m", shift=1)
    assert [call(names=PIECE), call(names=PIECE)] == [[1, 1, 1], [1, 1, 1]]
    assert call.module.made == [("m", 3)] and len(set(call.module.ids)) == 1


def test_another_instance_is_made_only_if_none_is_idle(tmp_path: Path) -> None:
    call = Call(tmp_path, CLASS, model="m", shift=1)
    call.module.barrier = threading.Barrier(2)
    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(call.module.made) == 2
    call.module.barrier = None
    call()
    assert len(call.module.made) == 2


def test_nodes_with_other_values_have_other_instances(tmp_path: Path) -> None:
    call = Call(tmp_path, CLASS, model="m", shift=1)
    call()
    call.made.node = replace(call.node, id="other", with_={"model": "m", "shift": 2})
    assert call() == [2, 2, 2] and len(call.module.made) == 1
    call.made.node = replace(call.node, id="third", with_={"model": "n", "shift": 2})
    assert call() == [2, 2, 2] and len(call.module.made) == 2


def test_an_init_that_raises_fails_the_call_before_the_users_code_begins(tmp_path: Path) -> None:
    call = Call(tmp_path, CLASS, model="bad", shift=1)
    for _ in range(2):
        with pytest.raises(ValueError, match="no such model"):
            call()
    assert not call.began and len(call.module.made) == 2


def test_what_a_failed_init_has_made_is_let_go(tmp_path: Path) -> None:
    source = """
        import weakref
        made = []
        class f:
            def __init__(self, model):
                made.append(weakref.ref(self))
                raise ValueError(model)
            def __call__(self, text: str): return 1
    """
    call = Call(tmp_path, source, model="bad")
    gc.disable()
    try:
        with suppress(ValueError):
            call()
        assert call.module.made[0]() is None
    finally:
        gc.enable()


def test_close_is_called_once_for_what_no_node_needs(tmp_path: Path) -> None:
    call = Call(tmp_path, CLASS, model="m", shift=1)
    call()
    pool = pool_of(call.memo)
    assert pool.close({("", "steps:f")}) == [] and not call.module.closed
    assert pool.close() == [] and len(call.module.closed) == 1
    pool.close()
    assert len(call.module.closed) == 1


def test_an_instance_that_a_call_still_has_is_closed_when_the_call_ends(tmp_path: Path) -> None:
    call = Call(tmp_path, CLASS, model="m", shift=1)
    call.module.barrier = threading.Barrier(2)
    thread = threading.Thread(target=call)
    thread.start()
    while not call.module.ids:
        threading.Event().wait(0.001)
    pool_of(call.memo).close()
    assert not call.module.closed
    call.module.barrier.wait(5)
    thread.join()
    assert len(call.module.closed) == 1


def test_all_calls_on_the_loop_share_one_instance(tmp_path: Path) -> None:
    source = """
        import threading
        made = []
        class f:
            def __init__(self, model):
                made.append(threading.current_thread().name)
                if model == "bad":
                    raise ValueError("no such model")
            async def __call__(self, id: int, context): return id
    """
    call = Call(tmp_path, source, model="m")
    assert call.on_loop(PIECE, PIECE) == [[1, 2, 3], [1, 2, 3]]
    assert call.module.made == ["nfrun-instance"]
    with pytest.raises(ValueError, match="no such model"):
        Call(tmp_path, source, model="bad").on_loop(PIECE, PIECE)


def test_a_mapped_node_can_be_run_as_a_whole(tmp_path: Path) -> None:
    call = Call(tmp_path, "def f(text: str, names): return (text or '') + str(len(names))", "names")
    tables = {"rows": PIECE, "names": PIECE}
    call.made.table, call.made.scratch, call.made.has_input = tables.__getitem__, lambda: tmp_path, lambda name: True
    found = run_whole(call.made)[""]
    assert found.to_pylist() == [{**row, "n": f"{row['text'] or ''}3"} for row in PIECE.to_pylist()]
    tables["rows"] = PIECE.select(["id"])
    with pytest.raises(NodeError, match=r"f\(\) takes the column 'text', which 'rows' does not have"):
        run_whole(call.made)


def test_a_function_may_yield_the_rows_of_a_row(tmp_path: Path) -> None:
    call = Call(tmp_path, "def f(id: int):\n    for n in range(id): yield {'n': n}")
    call.made.node = replace(call.node, map=replace(call.node.map, explode=True))
    assert [len(rows) for rows in call()] == [1, 2, 3]


def test_an_async_close_is_awaited(tmp_path: Path) -> None:
    source = """
        closed = []
        class f:
            async def __call__(self, id: int): return id
            async def close(self): closed.append(1)
    """
    call = Call(tmp_path, source)
    assert call.on_loop(PIECE) == [[1, 2, 3]]
    assert pool_of(call.memo).close() == [] and call.module.closed == [1]
