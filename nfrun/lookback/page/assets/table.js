// The table of nodes: sorted, filtered, matrices folded. Only the rows in sight are in the page, so 10,000 are no more.

const ROW = 30,
  ALWAYS = 250,
  MOST_PRINTED = 500; // pixels; rows that are all in the page; rows on paper
// `far`: the smaller, the sooner a narrow window hides it. `rises`: the smallest comes first.
const TABLE_COLUMNS = [
  { key: "status", width: "130px" },
  { key: "id", title: "node", width: "auto" },
  { key: "kind", width: "88px", far: 2 },
  { key: "stage", width: "62px", isNumber: true, rises: true, far: 1 },
  { key: "started", width: "88px", isNumber: true, rises: true, far: 1 },
  { key: "took", width: "168px", isNumber: true },
  { key: "memory", width: "88px", isNumber: true, far: 1 },
  { key: "rows", width: "104px", isNumber: true, far: 3 },
  { key: "why", width: "33%", far: 2 },
];
const ARROWS = { none: "", ascending: " ↑", descending: " ↓" };

class NodeTable {
  constructor(run, open) {
    Object.assign(this, {
      run,
      open,
      words: [],
      statuses: new Set(),
      sort: null,
      isDown: false,
      opened: new Set(),
      current: 0,
      selected: null,
      rows: [],
    });
    this.all = run.nodes.map((node, index) => rowOfNode(node, index, run));
    this.longest = this.all.reduce((most, row) => Math.max(most, row.took ?? 0), 1e-9);
    const isUsed = ({ key }) => this.all.some((row) => known(row[key]) && row[key] !== "");
    this.columns = TABLE_COLUMNS.filter((column) => ["id", "status"].includes(column.key) || isUsed(column));
    this.build();
    this.update();
  }

  styleOf({ key, isNumber, far }, ...more) {
    return [`key-${key}`, isNumber ? "num" : "", far ? `far-${far}` : "", ...more].filter(Boolean).join(" ");
  }
  build() {
    this.body = h("tbody", { onkeydown: (event) => this.press(event) });
    this.headings = new Map(
      this.columns.map((column) => [
        column.key,
        h(
          "th",
          { scope: "col", class: this.styleOf(column), "aria-sort": "none" },
          h(
            "button",
            { type: "button", onclick: () => this.sortBy(column) },
            column.title ?? column.key,
            h("span", { "aria-hidden": "true", class: "arrow" }),
          ),
        ),
      ]),
    );
    this.head = h("tr", null, [...this.headings.values()]);
    const widths = h(
      "colgroup",
      null,
      this.columns.map((column) => h("col", { class: this.styleOf(column), style: { width: column.width } })),
    );
    this.table = h(
      "table",
      { role: "treegrid", "aria-label": "Nodes of the run", "aria-rowcount": this.all.length + 1 },
      widths,
      h("thead", null, this.head),
      this.body,
    );
    const scrolled = () => {
      if (this.rows.length > ALWAYS) requestAnimationFrame(() => this.draw());
    };
    this.scroll = h("div", { class: "scroll", onscroll: scrolled }, this.table);
    this.nothing = h(
      "p",
      { class: "empty", hidden: true },
      "No node is like this. ",
      h("button", { type: "button", onclick: () => this.reset() }, "Show all"),
    );
    this.found = h("span", { class: "muted", role: "status", "aria-live": "polite" });
    this.input = h("input", {
      type: "search",
      placeholder: "Filter by name, kind, reason",
      "aria-label": "Filter nodes",
      spellcheck: "false",
      autocomplete: "off",
      oninput: () => this.setWords(this.input.value),
      onkeydown: (event) => this.pressInFilter(event),
    });
    this.chips = STATUSES.map((status) => [status, this.all.filter((row) => row.status === status).length])
      .filter(([, many]) => many)
      .map(([status, many]) =>
        h(
          "button",
          {
            type: "button",
            class: "chip",
            "aria-pressed": "false",
            "data-status": status,
            onclick: () => this.toggle(status),
          },
          icon(status),
          `${wordOf(status)} ${number(many)}`,
        ),
      );
    const filters = h("div", { class: "filters tools" }, this.chips.length > 1 ? this.chips : null, this.input);
    this.element = h(
      "section",
      { id: "nodes", class: "nodes", "aria-labelledby": "nodes-title" },
      h("div", { class: "head" }, h("h2", { id: "nodes-title" }, "Nodes"), this.found, filters),
      h("div", { class: "card" }, this.scroll, this.nothing),
    );
  }

  setWords(text) {
    this.words = text.toLowerCase().split(/\s+/).filter(Boolean);
    this.update();
  }
  toggle(status) {
    if (!this.statuses.delete(status)) this.statuses.add(status);
    this.update();
  }
  reset() {
    this.input.value = "";
    this.statuses.clear();
    this.setWords("");
  }
  only(status) {
    this.reset();
    this.toggle(status);
  }
  // The first time as the column is mostly wanted, then the other way, the third time as at first.
  sortBy({ key, isNumber, rises }) {
    const first = Boolean(isNumber && !rises);
    if (this.sort !== key) Object.assign(this, { sort: key, isDown: first });
    else if (this.isDown === first) this.isDown = !first;
    else this.sort = null;
    this.update();
  }
  update() {
    const found = this.all.filter(
      (row) => (!this.statuses.size || this.statuses.has(row.status)) && rowHas(row, this.words),
    );
    const order = rowOrder(this.sort, this.isDown),
      children = (row) => row.cells.sort(order).map((cell) => ({ ...cell, isChild: true }));
    this.rows = foldedRows(found)
      .sort(order)
      .flatMap((row) => (this.opened.has(row.family) ? [row, ...children(row)] : [row]));
    this.current = Math.max(0, Math.min(this.current, this.rows.length - 1));
    this.nothing.hidden = this.rows.length > 0;
    this.table.hidden = !this.nothing.hidden;
    this.found.textContent =
      found.length === this.all.length ? "" : `${number(found.length)} of ${count(this.all.length, "node")}`;
    for (const chip of this.chips) chip.setAttribute("aria-pressed", String(this.statuses.has(chip.dataset.status)));
    for (const [key, heading] of this.headings) {
      const direction = this.sort !== key ? "none" : this.isDown ? "descending" : "ascending";
      heading.setAttribute("aria-sort", direction);
      heading.querySelector(".arrow").textContent = ARROWS[direction];
    }
    this.draw();
  }

  cell(row, column) {
    const style = (...more) => this.styleOf(column, ...more),
      value = row[column.key];
    if (column.key === "status") {
      const isMixed = row.family && row.cells.some((cell) => cell.status !== row.status);
      return h(
        "td",
        null,
        icon(row.status),
        " ",
        h(
          "span",
          { class: `word text-${row.status}` },
          isMixed ? "mixed" : row.status === "tolerated" ? "tolerated" : wordOf(row.status),
        ),
      );
    }
    if (column.key === "id") {
      return h(
        "th",
        { scope: "row", title: row.id.length > 40 ? row.id.slice(0, 500) : null },
        row.family
          ? h("span", { class: "fold", "aria-hidden": "true" }, this.opened.has(row.family) ? "▾" : "▸")
          : null,
        bdi(row.id.slice(0, 300)),
        row.family ? h("span", { class: "muted" }, ` ${number(row.cells.length)} cells`) : null,
        row.node && this.run.critical.has(row.id)
          ? h("i", { class: "mark-critical", title: "on the critical path" })
          : null,
      );
    }
    if (column.key === "took" && known(value)) {
      const share = h("i", { class: "share-bar", style: { width: `${Math.max(1, (64 * value) / this.longest)}px` } });
      return h("td", { class: style() }, row.family ? null : share, seconds(value));
    }
    if (column.key === "why")
      return h("td", { class: style("muted"), title: value.length > 50 ? value : null }, bdi(value));
    const format = { started: seconds, memory: size, rows: number }[column.key] ?? String;
    const isMuted = ["kind", "stage", "started"].includes(column.key);
    return h("td", { class: style(isMuted ? "muted" : "") }, known(value) ? format(value) : "");
  }
  row(row, index) {
    const state = {
      tabindex: index === this.current ? 0 : -1,
      "aria-selected": String(Boolean(row.node) && row.id === this.selected),
      "aria-level": row.isChild ? 2 : 1,
    };
    const place = {
      "aria-rowindex": index + 2,
      "data-index": index,
      "aria-expanded": row.family ? String(this.opened.has(row.family)) : null,
    };
    const onclick = () => {
      this.current = index;
      this.act(row);
    };
    return h(
      "tr",
      { class: row.isChild ? "child" : null, ...state, ...place, onclick },
      this.columns.map((column) => this.cell(row, column)),
    );
  }
  // The rows in sight and some beside them; on paper the first of all.
  draw(isPaper = false) {
    const total = this.rows.length,
      few = total <= ALWAYS || isPaper,
      wide = this.columns.length;
    const from = few ? 0 : Math.max(0, Math.floor(this.scroll.scrollTop / ROW) - 12);
    const to = few
      ? Math.min(total, isPaper ? MOST_PRINTED : total)
      : Math.min(total, from + Math.ceil((this.scroll.clientHeight || 760) / ROW) + 26);
    const gap = (rows) =>
      rows > 0
        ? h(
            "tr",
            { class: "gap", "aria-hidden": "true" },
            h("td", { colspan: wide, style: { height: `${rows * ROW}px` } }),
          )
        : null;
    const rest = (rows) =>
      rows > 0 ? h("tr", null, h("td", { colspan: wide, class: "muted" }, `… and ${count(rows, "more row")}`)) : null;
    const hasFocus = this.body.contains(document.activeElement);
    this.body.replaceChildren();
    const rows = this.rows.slice(from, to).map((row, index) => this.row(row, from + index));
    append(this.body, [gap(from), rows, isPaper ? rest(total - to) : gap(total - to)]);
    if (hasFocus) this.focus();
  }
  focus() {
    this.body.querySelector('[tabindex="0"]')?.focus({ preventScroll: true });
  }

  act(row) {
    if (!row.family) {
      this.open(row.id);
      return;
    }
    if (!this.opened.delete(row.family)) this.opened.add(row.family);
    this.update();
    this.go(this.rows.findIndex((found) => found.family === row.family));
  }
  go(index) {
    if (!this.rows.length) return;
    this.current = Math.max(0, Math.min(index, this.rows.length - 1));
    const top = this.current * ROW,
      bottom = top + ROW + this.head.offsetHeight,
      { scroll } = this;
    if (top < scroll.scrollTop) scroll.scrollTop = top;
    else if (bottom > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = bottom - scroll.clientHeight;
    this.draw();
    this.focus();
    this.body.querySelector('[tabindex="0"]')?.scrollIntoView({ block: "nearest" });
  }
  press(event) {
    const row = this.rows[this.current],
      page = Math.max(1, Math.floor(this.scroll.clientHeight / ROW) - 2);
    const steps = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -this.current,
      End: this.rows.length,
    };
    const turns = row?.family && event.key === (this.opened.has(row.family) ? "ArrowLeft" : "ArrowRight");
    if (event.key in steps) this.go(this.current + steps[event.key]);
    else if (turns || event.key === "Enter" || event.key === " ") this.act(row);
    else if (event.key === "ArrowLeft" && row?.isChild)
      this.go(this.rows.findIndex((found) => found.family === row.node.of));
    else return;
    event.preventDefault();
  }
  pressInFilter(event) {
    if (event.key === "Escape") {
      event.stopPropagation();
      if (this.input.value) {
        this.input.value = "";
        this.setWords("");
      } else this.input.blur();
    } else if (event.key === "Enter" || event.key === "ArrowDown") {
      event.preventDefault();
      this.go(0);
    }
  }

  select(id) {
    this.selected = id;
    this.draw();
  }
  filter() {
    this.input.focus();
    this.input.select();
    this.element.scrollIntoView({ block: "start" });
  }
  print() {
    this.draw(true);
    return () => this.draw();
  }
}
