"""The page of a run in a real browser: what is drawn, what clicks and keys do, and that nothing hostile runs."""

from __future__ import annotations

import re
import socket
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from tests.lookback.browser import Browser
from tests.lookback.documents import BEGAN, HOSTILE, document, hostile, many, node, shop, table
from tests.lookback.page_fixtures import Show

# All that makes a browser ask a server, in HTML.
ASKS = """<base href="HERE/base/"><meta http-equiv="refresh" content="0;url=HERE/refresh">
<link rel="preconnect" href="HERE"><link rel="dns-prefetch" href="HERE"><link rel="prefetch" href="HERE/prefetch">
<link rel="preload" as="image" href="HERE/preload"><link rel="stylesheet" href="HERE/style"><style>
@import url("HERE/import"); @font-face { font-family: f; src: url("HERE/font") }
body { font-family: f; background: url("HERE/background") }</style>
<body>text<img src="HERE/image" srcset="HERE/set 2x"><iframe src="HERE/frame"></iframe>
<iframe srcdoc="<link rel=preconnect href=HERE>"></iframe><object data="HERE/object"></object><embed src="HERE/embed">
<div><template shadowrootmode="open"><link rel="preconnect" href="HERE"></template></div>
<video src="HERE/video" poster="HERE/poster" autoplay></video><audio src="HERE/audio"></audio>
<svg><image href="HERE/svg"/><use href="HERE/use"/><style>&lt;/style>&lt;link rel=preconnect href=HERE></style></svg>
<noscript><link rel="preconnect" href="HERE"></noscript><script src="HERE/script"></script>
<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;link rel=preconnect href=HERE&gt;"></math>
<form action="HERE/form"><input type="image" src="HERE/input"></form>"""
ROWS = "#nodes tbody tr:not(.gap)"
ROW_NAMES = "#nodes tbody th bdi"
PANE_TITLE = "#pane:not([hidden]) h2 bdi"


def row(name: str) -> str:
    return f"[...document.querySelectorAll('{ROWS}')].find((row) => row.textContent.includes('{name}'))"


def test_all_parts_are_drawn_without_a_word_on_the_console(show: Show) -> None:
    browser = show(shop())
    assert browser.said() == []
    assert browser.texts("main h2") == ["What failed", "Timeline", "Graph", "Nodes", "Change since run 11"]
    assert browser.texts("#nav a") == ["Failures", "Timeline", "Graph", "Nodes", "Change"]
    assert browser.attribute("#parts", "aria-busy") == "false"


def test_a_page_loads_nothing(show: Show) -> None:
    browser = show(shop(), "#node=plot")
    loaded = browser.js("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [name for name in loaded if not name.startswith("data:")] == []


def test_header_names_times_in_the_zone_of_the_reader_and_links_the_critical_path(show: Show) -> None:
    browser = show(shop())
    there = browser.js(f"new Date({BEGAN * 1000}).getHours()")
    assert f" {there:02}:" in browser.texts("time")[0]
    assert browser.texts("#critical a") == ["orders", "load/split", "load/clean", "fit@IT/francs", "score"]
    assert browser.texts(".tiles div") == [
        "took2.24 s",
        "ran12",
        "reused1",
        "failed1",
        "skipped1",
        "disabled1",
        "slots4",
    ]
    browser.click("#critical a:nth-of-type(5)")
    browser.wait("document.querySelector('#pane h2')")
    assert browser.texts(PANE_TITLE) == ["score"]


def test_names_in_the_critical_path_are_no_parts_of_words(show: Show) -> None:
    names = ["a", "run", "f(x).*", "for"]
    path = {"nodes": names, "seconds": 1.0, "text": f"The run waited for {' → '.join(names)}: 1.00 s of work."}
    browser = show(document([node(name, index * 0.1) for index, name in enumerate(names)], critical_path=path))
    assert browser.texts("#critical a") == names
    assert browser.texts("#critical") == [path["text"]]


def test_a_click_on_a_row_shows_the_node_and_escape_goes_back_to_the_row(show: Show) -> None:
    browser = show(shop())
    browser.driver.execute_script(row("score") + ".click()")
    browser.wait("document.querySelector('#pane h2')")
    assert browser.js("location.hash") == "#node=score"
    assert browser.texts(PANE_TITLE) == ["score"]
    assert browser.js("document.activeElement.id") == "pane"
    browser.press("Escape")
    assert browser.count("#pane[hidden]") == 1
    assert browser.js("location.hash") == ""
    assert browser.js("document.activeElement.tagName") == "TR"


def test_a_link_with_a_node_shows_it_and_its_neighbours_lead_on(show: Show) -> None:
    browser = show(shop(), "#node=score")
    shown = browser.texts("#pane h3")
    assert shown == ["Error", "Run", "Inputs", "Neighbours", "Log", "Definition"]
    pane = browser.texts("#pane")[0]
    for text in (
        "KeyError: 'price'",
        "steps.py:21 in total",
        "return table['price'].sum()",
        "orders: 1,204 rows",
        "python: steps:score",
        "WARNING: price is missing",
        "… lines before these",
        "520 ms (23 % of the run)",
        "load/split.large",
    ):
        assert text in pane
    browser.click("#pane a[href='#node=codes']")
    browser.wait("document.querySelector('#pane h2 bdi').textContent === 'codes'")
    assert "Its table was removed: the cache is full." in browser.texts("#pane")[0]
    assert "run 11" in browser.texts("#pane")[0]
    browser.driver.back()
    browser.wait("document.querySelector('#pane h2 bdi').textContent === 'score'")


def test_a_link_with_a_node_that_is_not_there_shows_the_run(show: Show) -> None:
    browser = show(shop(), "#node=%E0%A4%A")
    assert browser.count("#pane[hidden]") == 1
    browser = show(shop(), "#node=nowhere")
    assert browser.count("#pane[hidden]") == 1
    assert browser.texts("#told") == ["There is no node nowhere in this run"]
    assert browser.said() == []


def test_the_pane_shows_tables_checks_pictures_html_and_text(show: Show) -> None:
    browser = show(shop(), "#node=orders")
    assert browser.texts("#pane .rows tbody tr") == ["1DE12.5", "2FRnull", "3IT99"]
    assert browser.texts("#pane .columns tbody th") == ["id", "country", "amount"]
    assert browser.texts("#pane .columns td.num") == ["0", "3", "40"]
    browser = show(shop(), "#node=plot")
    assert browser.js("document.querySelector('#pane img').naturalWidth") == 1
    assert browser.attribute("#pane iframe", "sandbox") == ""
    assert browser.texts("#pane .media pre") == ["first line\nsecond line"]
    assert "2 failing rows" in browser.texts("#pane .check")[1]
    assert browser.said() == []


def test_slash_goes_to_the_filter_and_words_narrow_the_table(show: Show) -> None:
    browser = show(shop())
    browser.press("/")
    assert browser.js("document.activeElement.type") == "search"
    browser.press(*"price")
    assert browser.texts(ROW_NAMES) == ["score", "prices"]  # one by its error, one by its name
    assert "2 of 16 nodes" in browser.texts("#nodes .head")[0]
    browser.press(*"zzz")
    assert browser.texts(ROW_NAMES) == []
    browser.press("Escape")
    assert len(browser.texts(ROW_NAMES)) == 11
    browser.press("Escape")
    assert browser.js("document.activeElement.type") is None


def test_chips_of_statuses_filter_together(show: Show) -> None:
    browser = show(shop())
    browser.click("#nodes [data-status=failed]")
    assert browser.texts(ROW_NAMES) == ["score"]
    browser.click("#nodes [data-status=skipped]")
    assert browser.texts(ROW_NAMES) == ["score", "report"]
    assert browser.attribute("[data-status=failed]", "aria-pressed") == "true"
    browser.click("#nodes [data-status=failed]")
    browser.click("#nodes [data-status=skipped]")
    assert len(browser.texts(ROW_NAMES)) == 11


def test_a_click_on_a_heading_sorts_a_second_one_turns_it_and_a_third_ends_it(show: Show) -> None:
    browser = show(
        document([node("b", 0.0, 0.2), node("c", 0.1, 0.3), node("a", 0.2, 0.1), node("d", status="skipped")])
    )
    sort = "document.querySelector('#nodes th.key-took').getAttribute('aria-sort')"
    browser.click("#nodes th.key-took button")
    assert (browser.texts(ROW_NAMES), browser.js(sort)) == (["c", "b", "a", "d"], "descending")
    browser.click("#nodes th.key-took button")
    assert (browser.texts(ROW_NAMES), browser.js(sort)) == (["a", "b", "c", "d"], "ascending")
    browser.click("#nodes th.key-took button")
    assert (browser.texts(ROW_NAMES), browser.js(sort)) == (["b", "c", "a", "d"], "none")
    browser.click("#nodes th.key-id button")
    assert browser.texts(ROW_NAMES) == ["a", "b", "c", "d"]


def test_arrows_go_through_the_table_unfold_cells_and_open_nodes(show: Show) -> None:
    browser = show(shop())
    browser.focus("#nodes tbody tr")
    browser.press("ArrowDown", "ArrowDown")
    assert "customers" in browser.js("document.activeElement.textContent")
    for _ in range(4):
        browser.press("ArrowDown")
    assert "fit 6 cells" in browser.js("document.activeElement.textContent")
    assert browser.js("document.activeElement.getAttribute('aria-expanded')") == "false"
    browser.press("ArrowRight")
    assert len(browser.texts(ROW_NAMES)) == 17
    browser.press("ArrowDown", "Enter")
    browser.wait("document.querySelector('#pane h2')")
    assert browser.texts(PANE_TITLE) == ["fit@DE/euros"]
    assert "country = DE, money = euros" in browser.texts("#pane")[0]
    browser.press("Escape")
    assert "fit@DE/euros" in browser.js("document.activeElement.textContent")
    browser.press("ArrowLeft", "ArrowLeft")
    assert len(browser.texts(ROW_NAMES)) == 11


def test_timeline_has_a_row_for_a_node_its_phases_and_marks(show: Show) -> None:
    browser = show(shop())
    assert browser.texts("#timeline .row-label") == [
        "customers",
        "orders",
        "prices",
        "load/split",
        "load/clean",
        "▸ fit",
        "plot",
        "score",
    ]
    assert browser.count("#timeline .rows .node-bar") == 13
    assert browser.count("#timeline .rows .bar-queued") > 0
    assert browser.count("#timeline .rows .critical-mark") == 5
    failed = browser.js("document.querySelector('#timeline [data-node=score]').innerHTML")
    assert "bar-failed" in failed and "stripes" in failed  # not by the colour alone
    assert "1 reused node took no slot" in browser.texts("#timeline .legend")[0]
    browser.driver.execute_script(
        "[...document.querySelectorAll('.row-label')][5].dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    assert browser.texts("#timeline .row-label")[5:8] == ["▾ fit", "DE/euros", "DE/francs"]


def test_attempts_that_failed_have_bars_of_their_own(show: Show) -> None:
    browser = show(shop(), "#node=prices")
    assert browser.count("#timeline [data-node=prices] .bar-tried") == 1
    assert "attempt that failed" in browser.texts("#timeline .legend")[0]
    attempts = browser.texts("#pane table.list tr")
    assert attempts[:2] == ["1100 msat 0 sConnectionError: the service is away", "2200 msat 200 msended well"]


def test_timeline_shows_slots(show: Show) -> None:
    browser = show(shop())
    browser.click("#timeline .group button:nth-child(2)")
    assert browser.texts("#timeline .row-label") == ["slot 1", "slot 2", "slot 3", "slot 4"]
    assert "load/clean" in browser.texts("#timeline .inside")


def test_keys_walk_through_the_timeline_zoom_and_open(show: Show) -> None:
    browser = show(shop())
    browser.focus("#timeline .plot")
    browser.press("ArrowRight", "ArrowRight", "ArrowRight")
    assert browser.active("#timeline .plot").startswith("prices: ran, 400 ms")
    browser.press("ArrowDown")
    assert browser.active("#timeline .plot").startswith("load/split: ran")
    browser.press("+", "+", "+")
    assert browser.count("#timeline .plot.zoomed") == 1
    browser.press("0")
    assert browser.count("#timeline .plot.zoomed") == 0
    browser.press("End", "Enter")
    browser.wait("document.querySelector('#pane h2')")
    assert browser.texts(PANE_TITLE) == ["score"]


def test_a_click_on_a_bar_shows_the_node(show: Show) -> None:
    browser = show(shop())
    browser.click("#timeline .rows [data-node=plot]")
    browser.wait("document.querySelector('#pane h2')")
    assert browser.texts(PANE_TITLE) == ["plot"]


def test_graph_has_boxes_with_their_share_and_edges_with_rows(show: Show) -> None:
    browser = show(shop())
    assert len(browser.texts("#graph .box")) == 11
    assert "read · 120 ms · 3 %" in browser.texts("#graph .box")[0]
    assert {"1,204 rows", "32.5 kB"} <= set(browser.texts("#graph .edge-text"))
    assert browser.count("#graph .view .edge.order") == 1
    assert browser.count("#graph .view .edge.critical") == 4


CUT_OFF = """(() => {
  const view = document.querySelector("#graph .view").getBoundingClientRect();
  const cut = (box) => box.left < view.left || box.right > view.right;
  return [...document.querySelectorAll("#graph .box")].some((box) => cut(box.getBoundingClientRect()));
})()"""


def test_the_graph_is_whole_beside_the_pane_and_fades_where_it_is_cut_off(show: Show, browser: Browser) -> None:
    nodes = [node(name, index * 0.1, stage=index + 1) for index, name in enumerate("abcde")]
    show(document(nodes, [[one, other, "data"] for one, other in pairwise("abcde")]), "#node=e")
    browser.wait("document.querySelector('#graph .view').clientWidth < 800")
    browser.wait(f"!{CUT_OFF}")
    assert browser.count("#graph .more-left, #graph .more-right") == 0
    browser.press("Escape")
    browser.size(390, 844)
    browser.wait("document.querySelector('#graph .more-left, #graph .more-right')")
    assert browser.js(CUT_OFF)
    browser.click("#graph [aria-label='Show the whole graph']")
    assert not browser.js(CUT_OFF)
    assert browser.count("#graph .more-left, #graph .more-right") == 0


def test_a_click_unfolds_cells_in_the_graph_and_then_shows_one(show: Show) -> None:
    browser = show(shop())
    fold = browser.js(
        "[...document.querySelectorAll('#graph .box')].findIndex((box) => box.textContent.includes('6 cells'))"
    )
    browser.driver.execute_script(
        "arguments[0].scrollIntoView({block: 'center'})", browser.driver.find_element("css selector", "#graph")
    )
    browser.driver.find_elements("css selector", "#graph .box")[fold].click()
    assert len(browser.texts("#graph .box")) == 16
    index = browser.js(
        "[...document.querySelectorAll('#graph .box')].findIndex((box) => box.textContent.includes('fit@DE/euros'))"
    )
    browser.driver.find_elements("css selector", "#graph .box")[index].click()
    browser.wait("document.querySelector('#pane h2')")
    assert browser.texts(PANE_TITLE) == ["fit@DE/euros"]
    browser.press("Escape")
    browser.focus("#graph .view")
    browser.press("Backspace")
    assert len(browser.texts("#graph .box")) == 11
    assert browser.active("#graph .view").startswith("fit: ran, 6 cells")
    browser.press("Enter")
    assert len(browser.texts("#graph .box")) == 16
    browser.click("#graph .tools > button")
    assert len(browser.texts("#graph .box")) == 10  # the sub-pipeline is folded, too


def test_arrows_walk_along_the_edges_of_the_graph(show: Show) -> None:
    browser = show(shop())
    browser.focus("#graph .view")
    browser.press("ArrowRight")
    assert browser.active("#graph .view").startswith("orders: ran")
    browser.press("ArrowRight")
    assert browser.active("#graph .view").startswith("load/split: ran")
    browser.press("ArrowRight", "Enter")
    browser.wait("document.querySelector('#pane h2')")
    assert browser.texts(PANE_TITLE) == ["load/clean"]


def test_a_change_is_shown(show: Show) -> None:
    browser = show(shop())
    assert browser.texts("#change tbody tr")[0] == "scorethe function steps:score changed310 ms520 ms"
    assert "420 ms longer" in browser.texts("#change .head")[0]


def test_nothing_hostile_runs_and_all_of_it_is_shown(show: Show) -> None:
    made = hostile()
    browser = show(made)
    for each in made["nodes"]:
        browser.driver.execute_script(
            "location.hash = '#node=' + encodeURIComponent(arguments[0])",
            each["id"].encode("utf-16", "replace").decode("utf-16"),
        )
        browser.wait("document.querySelector('#pane h2') || document.getElementById('told').textContent")
        browser.js("[...document.querySelectorAll('iframe')].map((frame) => { frame.loading = 'eager'; return 1 })")
    assert browser.js("window.hacked ?? null") is None
    assert browser.count("script") == 2
    assert browser.those("img, iframe", "!found.closest('.media')") == []
    assert browser.count("bdi b, td script, th img") == 0
    names = browser.texts("#nodes tbody th bdi")
    assert any(name.startswith("<script>window.hacked = 1</script>") for name in names)
    assert any(name.startswith(r"abc\u202egpj.exe") for name in names)
    assert any(name.startswith("\U0001f600 schön 数据") for name in names)
    lines = Path(browser.js("decodeURI(location.pathname)")).read_text(encoding="utf-8").split("\n")
    assert [line for line in browser.said() if not refused_in_html_of_a_node(line, lines)] == []
    assert len(HOSTILE) == len(names)


def refused_in_html_of_a_node(message: str, page: list[str]) -> bool:
    """Tell whether the browser says that it runs nothing of a node's HTML: in its frame, or where the page parses it.

    Chromium 156 reports each event handler that any parser finds (DOMParser, template, createHTMLDocument, parseHTML).
    Older ones say nothing there. The number behind the address is that of the line, from 0.
    """
    refused = re.fullmatch(r"SEVERE: file:\S+ (\d+) Executing inline event handler violates .*", message, re.DOTALL)
    return "about:srcdoc" in message or (refused is not None and "new DOMParser()" in page[int(refused[1])])


def test_a_node_whose_name_is_shown_escaped_opens_from_the_timeline(show: Show) -> None:
    browser = show(hostile())
    index = next(i for i, text in enumerate(HOSTILE) if "\u202e" in text)
    browser.driver.find_elements("css selector", "#timeline .rows .node-bar")[index].click()
    browser.wait("document.querySelector('#pane h2')")
    assert browser.texts(PANE_TITLE) == [rf"abc\u202egpj.exe{index}"]


def test_html_of_a_node_reaches_no_network(show: Show, tmp_path: Path) -> None:
    """A page without a policy asks the same server afterwards, and is the first that it hears of."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        asks = ASKS.replace("HERE", address)
        drawing = f"<svg xmlns='http://www.w3.org/2000/svg'><image href='{address}/drawing'/></svg>".encode()
        outputs = [
            {"id": "a.page", "type": ".html", "media": {"type": "text/html", "data": asks}},
            {"id": "a.svg", "type": ".svg", "media": {"type": "image/svg+xml", "data": b64encode(drawing).decode()}},
        ]
        browser = show(document([node("a", 0.0, outputs=outputs)]))
        browser.driver.execute_script(
            "const told = (event) => { document.body.dataset.loaded += event.target.tagName };"
            "document.addEventListener('load', told, true);"
            "location.hash = '#node=a'"
        )
        browser.wait("/IFRAME/.test(document.body.dataset.loaded) && /IMG/.test(document.body.dataset.loaded)")
        control = tmp_path / "control.html"
        control.write_text(f'<img src="{address}/control">')
        server.settimeout(30)
        with ThreadPoolExecutor() as pool:
            answered = pool.submit(answer_one, server)
            browser.driver.get(control.as_uri())
            assert answered.result().startswith(b"GET /control ")
        browser.said()


def answer_one(server: socket.socket) -> bytes:
    """Answer the first request with 404, and return what it began with."""
    with server.accept()[0] as connection:
        connection.settimeout(30)
        asked = connection.recv(1000)
        connection.sendall(b"HTTP/1.1 404 none\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return asked


def test_the_page_keeps_its_policy_when_a_script_or_a_picture_gets_in(show: Show) -> None:
    """As if a text had become markup: what would run then does not."""
    browser = show(shop())
    browser.driver.execute_script(
        "const script = document.createElement('script'); script.textContent = 'window.hacked = 1';"
        "document.body.append(script); document.getElementById('told').innerHTML ="
        "'<img src=x onerror=\"window.hacked = 2\"><img src=http://127.0.0.1:9/x.png>'"
    )
    browser.wait("[...document.querySelectorAll('#told img')].every((image) => image.complete)")
    assert browser.js("window.hacked ?? null") is None
    assert all("Content Security Policy" in line for line in browser.said())


@pytest.mark.slow
def test_a_line_of_ten_megabytes_is_cut_until_it_is_asked_for(show: Show) -> None:
    log = {"tail": ["x" * 10_000_000], "more": False}
    browser = show(document([node("long", 0.0, log=log, reason="y" * 1_000_000)]), "#node=long")
    assert browser.js("document.getElementById('pane').textContent.length") < 20_000
    browser.click("#pane pre button")
    assert browser.js("document.querySelector('#pane pre').textContent.length") >= 10_000_000


@pytest.mark.slow
def test_ten_thousand_nodes_open_and_only_the_rows_in_sight_are_there(show: Show) -> None:
    browser = show(many(10_000))
    assert browser.said() == []
    assert browser.count("#nodes tbody tr") < 100
    browser.focus("#nodes tbody tr")
    browser.press("End", "Enter")
    browser.wait("document.querySelector('#pane h2')")
    assert browser.count("*") < 40_000
    browser.click("#graph .view")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_until_the_switch_is_used(show: Show, browser: Browser, scheme: str) -> None:
    browser.media(prefers_color_scheme=scheme)
    show(shop())
    other = {"light": "dark", "dark": "light"}[scheme]
    background = "getComputedStyle(document.body.parentElement).backgroundColor"
    first = browser.js(background)
    browser.driver.execute_script("localStorage.clear()")
    for _ in range(1 if other == "light" else 2):
        browser.click("#theme")
    assert browser.attribute("#theme", "aria-label") == f"Colours: {other}"
    assert browser.js(background) != first
    browser.driver.execute_script("localStorage.clear()")


def test_narrow_screens_scroll_in_one_direction(show: Show, browser: Browser) -> None:
    browser.size(390, 844)
    browser.media(prefers_reduced_motion="reduce")  # or the pane may still be coming in
    show(shop(), "#node=score")
    assert browser.js("document.documentElement.scrollWidth") <= 390
    pane = "document.getElementById('pane').getBoundingClientRect()"
    assert browser.js(f"[{pane}.left, {pane}.right]") == [0, browser.js("document.documentElement.clientWidth")]
    browser.press("Escape")
    assert browser.js("document.documentElement.scrollWidth") <= 390


def test_on_paper_are_all_rows_and_no_controls(show: Show, browser: Browser) -> None:
    show(many(300))
    browser.media("print")
    browser.driver.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert browser.count(ROWS) == 300
    assert browser.those(".bar, .tools, .hint", "getComputedStyle(found).display !== 'none'") == []
    assert browser.those(".nodes .scroll", "found.scrollHeight > found.clientHeight + 1") == []
    browser.media()
    browser.driver.execute_script("dispatchEvent(new Event('afterprint'))")
    assert browser.count(ROWS) < 300


def test_the_open_node_is_on_paper_below_the_run(show: Show, browser: Browser) -> None:
    """An animation would begin anew there, and leave it transparent."""
    show(shop(), "#node=score")
    browser.media("print")
    style = "getComputedStyle(document.getElementById('pane'))"
    found = browser.js(f"[{style}.animationName, {style}.position, {style}.opacity]")
    assert found == ["none", "static", "1"]
    below = (
        "document.getElementById('pane').getBoundingClientRect().top >= document.getElementById('main').offsetHeight"
    )
    assert browser.js(below) is True


def test_nothing_moves_where_motion_is_reduced(show: Show, browser: Browser) -> None:
    browser.media(prefers_reduced_motion="reduce")
    show(shop(), "#node=score")
    assert browser.js("getComputedStyle(document.getElementById('pane')).animationName") == "none"


def test_all_that_can_be_used_has_a_name_and_ids_are_unique(show: Show) -> None:
    browser = show(shop(), "#node=plot")
    used = "button, a, input, [tabindex='0'], [role=img], img, iframe, section, nav, aside"
    names = "found.ariaLabel || found.hasAttribute('aria-labelledby') || found.alt || found.title"
    assert browser.those(used, f"!({names} || found.textContent.trim())") == []
    assert browser.those("[id]", "document.querySelectorAll('#' + CSS.escape(found.id)).length > 1") == []
    assert browser.those("[aria-labelledby]", "!document.getElementById(found.getAttribute('aria-labelledby'))") == []


def test_a_run_without_nodes_and_one_of_which_little_is_known_have_pages(show: Show) -> None:
    browser = show({"version": 1, "run": {"id": "1", "number": 1, "pipeline": "p", "status": "killed"}, "nodes": []})
    assert "No node of this run is recorded." in browser.texts("#parts")[0]
    bare = [{"id": "a", "status": "ok"}, {"id": "b", "status": "reused"}, {"id": "c", "status": "lost"}]
    browser = show(
        {"version": 1, "run": {"id": "1", "number": 1, "pipeline": "p", "status": "ok"}, "nodes": bare, "edges": []},
        "#node=b",
    )
    assert browser.texts(PANE_TITLE) == ["b"]
    assert "No node ran: 1 node reused what earlier runs had made." in browser.texts("#timeline")[0]
    assert browser.said() == []


def test_nodes_that_run_last_are_in_a_column_at_the_end(show: Show) -> None:
    nodes = [node("a", 0.0), node("b", 0.2, stage=2), node("mail", 0.4, stage=1, section="finally")]
    browser = show(document(nodes, [["a", "b", "data"]]))
    assert browser.texts("#graph .view text.small")[-3:] == ["stage 1", "stage 2", "at the end"]
    assert "3 nodes in 2 stages" in browser.texts("#graph .head")[0]
    assert (browser.attribute("#graph .box:last-of-type", "aria-label") or "").endswith("at the end")


def test_a_failure_that_is_tolerated_looks_like_none_that_fails_the_run(show: Show) -> None:
    error = {"type": "E", "message": "m"}
    tolerated = node("may", 0.0, status="failed", tolerated=True, error=error)
    browser = show(document([tolerated, node("must", 0.2, status="failed", error=error)], status="failed"), "#node=may")
    assert browser.texts("#failures h3 bdi") == ["must", "may"]
    assert "failed2 (1 tolerated)" in [text.replace("\n", "") for text in browser.texts(".tiles div")]
    assert browser.texts("#nodes [data-status]") == ["failed 1", "failed (tolerated) 1"]
    assert browser.texts(ROW_NAMES) == ["must", "may"]
    assert browser.count("#timeline [data-node=may] .bar-tolerated") == 1
    assert browser.count("#graph .box.tolerated") == 1
    assert "failed (tolerated)" in browser.texts("#pane .status")[0]
    assert browser.texts("#failures h2") == ["What failed"]
    assert show(document([tolerated])).texts("#failures h2") == ["What failed, and may"]


def test_what_a_node_and_its_outputs_lack_is_said(show: Show) -> None:
    outputs = [
        table("kept", 9),
        table("gone", 9, kept=False),
        table("empty", 0),
    ]
    calls = {"rows": 210, "reused": 200, "failed": 2, "calls": 10, "busy": 3.42}
    browser = show(document([node("a", 0.0, outputs=outputs, map=calls), node("b", status="not_ended")]), "#node=a")
    notes = browser.texts("#pane .output > p")
    assert notes == [
        "Its content has no room here: nfrun open kept shows it.",
        "Its file is not kept any more.",
    ]
    assert "10 calls for 210 rows (200 reused, 2 failed), which took 3.42 s together" in browser.texts("#pane")[0]
    browser.driver.execute_script("location.hash = '#node=b'")
    browser.wait("document.querySelector('#pane h2 bdi').textContent === 'b'")
    assert "it had not ended" in browser.texts("#pane")[0]


def test_edges_of_nodes_without_outputs_and_circles_of_folds_are_drawn(show: Show) -> None:
    nodes = [
        node("a", 0.0, of="m", stage=1),
        node("b", 0.2, stage=2),
        node("c", 0.4, of="m", stage=3),
        node("d.e", 0.6, status="failed", outputs=[]),
        node("f", status="skipped", outputs=[]),
    ]
    for index in range(6):
        nodes.append(node(f"m{index}", 0.1, of="m", stage=1))
    browser = show(
        document(nodes, [["a", "b", "data"], ["b", "c", "data"], ["d.e.large", "f", "data"], ["nowhere", "f", "data"]])
    )
    assert browser.said() == []
    assert browser.count("#graph .view .edge") == 3
