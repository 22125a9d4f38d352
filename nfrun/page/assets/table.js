// The table of nodes: sorted, filtered, matrices folded. Only the rows in sight are in the page, so 10,000 are no more.

const ROW = 30, ALWAYS = 250, MOST_PRINTED = 500;
const RANK = { failed: 0, not_ended: 1, running: 1, cancelled: 2, ok: 3, reused: 4, skipped: 5, disabled: 6, not_selected: 7 };

function nodeTable(run, { open }) {
  const rowsOf = (node) => (node.outputs ?? []).reduce((sum, output) => (known(output.rows) && isTable(output) ? (sum ?? 0) + output.rows : sum), null);
  const whyOf = (node) => [node.error ? errorText(node.error) : "", becauseText(node, run), node.reason].find(Boolean) ?? "";
  const took = (node) => (ran(node) ? node.duration ?? null : null);
  const single = (node, index) => ({
    node, index, id: node.id, status: node.status, kind: node.kind ?? "", stage: node.stage ?? null, started: ran(node) ? node.started : null,
    took: took(node), memory: node.memory ?? null, rows: rowsOf(node), why: valueText(whyOf(node), 300),
  });
  const singles = run.nodes.map(single);
  const sum = (rows, name) => rows.reduce((total, row) => (known(row[name]) ? (total ?? 0) + row[name] : total), null);
  const least = (rows, name) => rows.reduce((found, row) => (known(row[name]) && (found === null || row[name] < found) ? row[name] : found), null);

  function family(name, rows) {
    const counts = STATUSES.map((status) => [status, rows.filter((row) => row.status === status).length]).filter(([, found]) => found);
    const status = counts.map(([found]) => found).sort((a, b) => RANK[a] - RANK[b])[0];
    return { family: name, cells: rows, index: rows[0].index, id: name, status, kind: rows[0].kind, stage: rows[0].stage, started: least(rows, "started"),
      took: sum(rows, "took"), memory: rows.reduce((most, row) => (row.memory > (most ?? -1) ? row.memory : most), null), rows: sum(rows, "rows"),
      why: counts.map(([found, many]) => `${number(many)} ${wordOf(found)}`).join(", ") };
  }

  const COLUMNS = [
    { key: "status", title: "status", width: "112px" }, { key: "id", title: "node", width: "auto" },
    { key: "kind", title: "kind", width: "88px", far: 2 }, { key: "stage", title: "stage", width: "62px", num: true, far: 1 },
    { key: "started", title: "started", width: "88px", num: true, far: 1 }, { key: "took", title: "took", width: "168px", num: true },
    { key: "memory", title: "memory", width: "88px", num: true, far: 1 }, { key: "rows", title: "rows", width: "104px", num: true, far: 3 },
    { key: "why", title: "why", width: "33%", far: 2 },
  ].filter(({ key }) => key === "id" || key === "status" || singles.some((row) => row[key] !== null && row[key] !== ""));

  const state = { text: "", statuses: new Set(), sort: null, down: false, opened: new Set(), current: 0, selected: null, rows: [] };
  const haystacks = new Map();
  const haystack = (row) => {
    if (!haystacks.has(row)) haystacks.set(row, `${row.id} ${row.kind} ${wordOf(row.status)} ${row.why} ${row.node.group ?? ""}`.toLowerCase());
    return haystacks.get(row);
  };
  const longest = Math.max(1e-9, ...singles.map((row) => row.took ?? 0).slice(0, 1), singles.reduce((most, row) => Math.max(most, row.took ?? 0), 0));

  function compare(a, b) {
    if (state.sort === null) return (RANK[a.status] === 0 ? 0 : 1) - (RANK[b.status] === 0 ? 0 : 1) || (a.started ?? 1e12) - (b.started ?? 1e12) || a.index - b.index;
    const key = state.sort, [x, y] = key === "status" ? [RANK[a.status] ?? 9, RANK[b.status] ?? 9] : [a[key], b[key]];
    if (!known(x) || !known(y)) return (known(x) ? 0 : 1) - (known(y) ? 0 : 1) || a.index - b.index;  // unknown last, either way
    const order = typeof x === "number" ? x - y : x < y ? -1 : x > y ? 1 : 0;
    return (state.down ? -order : order) || a.index - b.index;
  }

  function listed() {
    const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
    const found = singles.filter((row) => (!state.statuses.size || state.statuses.has(row.status)) && words.every((word) => haystack(row).includes(word)));
    const families = new Map(), top = [];
    for (const row of found) {
      if (!row.node.of) top.push(row);
      else if (families.has(row.node.of)) families.get(row.node.of).push(row);
      else families.set(row.node.of, [row]);
    }
    for (const [name, cells] of families) top.push(...(cells.length > 1 ? [family(name, cells)] : cells));
    top.sort(compare);
    state.rows = top.flatMap((row) => (row.family && state.opened.has(row.family) ? [row, ...row.cells.sort(compare).map((cell) => ({ ...cell, child: true }))] : [row]));
    state.found = found.length;
  }

  const cellOf = {
    status: (row) => h("td", null, icon(row.status), " ", h("span", { class: `word text-${row.status}` }, row.family && row.cells.some((cell) => cell.status !== row.status) ? "mixed" : wordOf(row.status))),
    id: (row) => h("th", { scope: "row", title: row.id.length > 40 ? row.id.slice(0, 500) : null },
      row.family ? h("button", { type: "button", class: "fold", tabindex: -1, "aria-hidden": "true" }, state.opened.has(row.family) ? "▾" : "▸") : null,
      bdi(row.id.slice(0, 300)), row.family ? h("span", { class: "muted" }, ` ${number(row.cells.length)} cells`) : null,
      row.node && run.critical.has(row.id) ? h("i", { class: "mark-critical", title: "on the critical path" }) : null),
    kind: (row) => h("td", { class: "far-2 muted" }, row.kind),
    stage: (row) => h("td", { class: "num far-1 muted" }, row.stage),
    started: (row) => h("td", { class: "num far-1 muted" }, known(row.started) ? seconds(row.started) : ""),
    took: (row) => h("td", { class: "num" }, known(row.took) ? [row.family ? null : h("i", { class: "share-bar", style: { width: `${Math.max(1, (64 * row.took) / longest)}px` } }), seconds(row.took)] : ""),
    memory: (row) => h("td", { class: "num far-1" }, known(row.memory) ? size(row.memory) : ""),
    rows: (row) => h("td", { class: "num far-3" }, number(row.rows)),
    why: (row) => h("td", { class: "far-2 muted", title: row.why.length > 50 ? row.why : null }, bdi(row.why)),
  };

  const body = h("tbody", null);
  const head = h("tr", null, COLUMNS.map((column) => {
    const cell = h("th", { scope: "col", class: `key-${column.key}${column.num ? " num" : ""}${column.far ? ` far-${column.far}` : ""}`, "aria-sort": "none" },
      h("button", { type: "button", onclick: () => sortBy(column.key) }, column.title, h("span", { "aria-hidden": "true", class: "arrow" })));
    column.cell = cell;
    return cell;
  }));
  const table = h("table", { role: "treegrid", "aria-label": "Nodes of the run", "aria-rowcount": run.nodes.length + 1 },
    h("colgroup", null, COLUMNS.map((column) => h("col", { class: `key-${column.key}${column.far ? ` far-${column.far}` : ""}`, style: { width: column.width } }))), h("thead", null, head), body);
  const scroll = h("div", { class: "scroll", onscroll: () => { if (state.rows.length > ALWAYS) window.requestAnimationFrame(draw); } }, table);
  const shown = h("span", { class: "muted", role: "status", "aria-live": "polite" });
  const nothing = h("p", { class: "empty", hidden: true }, "No node is like this. ", h("button", { type: "button", onclick: () => reset() }, "Show all"));
  const input = h("input", { type: "search", placeholder: "Filter by name, kind, reason", "aria-label": "Filter nodes", spellcheck: "false", autocomplete: "off",
    oninput: () => { state.text = input.value; update(); },
    onkeydown: (event) => {
      if (event.key === "Escape") { event.stopPropagation(); if (input.value) { input.value = state.text = ""; update(); } else input.blur(); }
      else if (event.key === "Enter" || event.key === "ArrowDown") { event.preventDefault(); go(0); }
    } });
  const chips = STATUSES.map((status) => [status, singles.filter((row) => row.status === status).length]).filter(([, found]) => found).map(([status, found]) =>
    h("button", { type: "button", class: "chip", "aria-pressed": "false", "data-status": status, onclick: (event) => toggle(status, event.currentTarget) },
      icon(status), `${wordOf(status)} ${number(found)}`));

  function toggle(status, chip) {
    if (!state.statuses.delete(status)) state.statuses.add(status);
    chip.setAttribute("aria-pressed", String(state.statuses.has(status)));
    update();
  }
  function reset() {
    state.text = input.value = "";
    state.statuses.clear();
    chips.forEach((chip) => chip.setAttribute("aria-pressed", "false"));
    update();
  }
  function sortBy(key) {
    const numeric = COLUMNS.find((column) => column.key === key).num;
    if (state.sort !== key) [state.sort, state.down] = [key, Boolean(numeric) && key !== "started" && key !== "stage"];
    else if (state.down === (Boolean(numeric) && key !== "started" && key !== "stage")) state.down = !state.down;
    else state.sort = null;  // the third time: as at first
    for (const column of COLUMNS) {
      const direction = state.sort !== column.key ? "none" : state.down ? "descending" : "ascending";
      column.cell.setAttribute("aria-sort", direction);
      column.cell.querySelector(".arrow").textContent = { none: "", ascending: " ↑", descending: " ↓" }[direction];
    }
    update();
  }

  function rowElement(row, index) {
    const isSelected = Boolean(row.node) && row.id === state.selected;
    const element = h("tr", { class: row.child ? "child" : null, tabindex: index === state.current ? 0 : -1, "aria-selected": String(isSelected), "aria-level": row.child ? 2 : 1,
      "aria-rowindex": index + 2, "aria-expanded": row.family ? String(state.opened.has(row.family)) : null, "data-index": index,
      onclick: () => { state.current = index; act(row); } }, COLUMNS.map(({ key }) => cellOf[key](row)));
    return element;
  }
  function draw(all = false) {
    const total = state.rows.length, few = total <= ALWAYS || all === true;
    const from = few ? 0 : Math.max(0, Math.floor(scroll.scrollTop / ROW) - 12);
    const to = few ? Math.min(total, all === true ? MOST_PRINTED : total) : Math.min(total, from + Math.ceil((scroll.clientHeight || 760) / ROW) + 26);
    const gap = (rows) => (rows > 0 ? h("tr", { class: "gap", "aria-hidden": "true" }, h("td", { colspan: COLUMNS.length, style: { height: `${rows * ROW}px` } })) : null);
    const rest = (rows) => (rows > 0 ? h("tr", null, h("td", { colspan: COLUMNS.length, class: "muted" }, `… and ${count(rows, "more row")}`)) : null);
    const focused = body.contains(document.activeElement);
    body.replaceChildren();
    append(body, [all === true ? null : gap(from), state.rows.slice(from, to).map((row, index) => rowElement(row, from + index)), all === true ? rest(total - to) : gap(total - to)]);
    if (focused) body.querySelector('[tabindex="0"]')?.focus({ preventScroll: true });
  }
  function update() {
    listed();
    state.current = Math.max(0, Math.min(state.current, state.rows.length - 1));
    nothing.hidden = state.rows.length > 0;
    table.hidden = !nothing.hidden;
    shown.textContent = state.found === run.nodes.length ? "" : `${number(state.found)} of ${count(run.nodes.length, "node")}`;
    draw();
  }
  function act(row) {
    if (row.family) {
      if (!state.opened.delete(row.family)) state.opened.add(row.family);
      update();
      body.querySelector(`[data-index="${state.rows.indexOf(state.rows.find((found) => found.family === row.family))}"]`)?.focus({ preventScroll: true });
    } else open(row.id);
  }
  function go(index) {
    if (!state.rows.length) return;
    state.current = Math.max(0, Math.min(index, state.rows.length - 1));
    const top = state.current * ROW, header = head.offsetHeight;
    if (top < scroll.scrollTop) scroll.scrollTop = top;
    else if (top + ROW + header > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = top + ROW + header - scroll.clientHeight;
    draw();
    body.querySelector('[tabindex="0"]')?.focus({ preventScroll: true });
    body.querySelector('[tabindex="0"]')?.scrollIntoView({ block: "nearest" });
  }
  body.addEventListener("keydown", (event) => {
    const row = state.rows[state.current], page = Math.max(1, Math.floor(scroll.clientHeight / ROW) - 2);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -state.current, End: state.rows.length };
    if (event.key in steps) go(state.current + steps[event.key]);
    else if (event.key === "Enter" || event.key === " ") act(row);
    else if (event.key === "ArrowRight" && row?.family && !state.opened.has(row.family)) act(row);
    else if (event.key === "ArrowLeft" && row?.family && state.opened.has(row.family)) act(row);
    else if (event.key === "ArrowLeft" && row?.child) go(state.rows.findIndex((found) => found.family === row.node.of));
    else return;
    event.preventDefault();
  });

  update();
  return {
    element: h("section", { id: "nodes", class: "nodes", "aria-labelledby": "nodes-title" },
      h("div", { class: "head" }, h("h2", { id: "nodes-title" }, "Nodes"), shown, h("div", { class: "filters tools" }, chips.length > 1 ? chips : null, input)),
      h("div", { class: "card" }, scroll, nothing)),
    select(id) { state.selected = id; draw(); },
    only(status) { reset(); toggle(status, chips.find((chip) => chip.dataset.status === status)); },
    filter() { input.focus(); input.select(); byId("nodes").scrollIntoView({ block: "start" }); },
    print() { draw(true); return () => draw(); },
    redraw: draw,
  };
}

