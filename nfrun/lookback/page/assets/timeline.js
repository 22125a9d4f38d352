// The timeline: bars by node or by slot, over one axis of time. Only what is in sight is drawn.

const BY_NODE_UP_TO = 40,
  AXIS = 26,
  STRIP = 54,
  PAPER = 1000; // rows, and pixels
const TIMELINE_LABEL =
  "Timeline of the nodes that ran. Left and right go from node to node, up and down from row to row, Enter shows a node, plus and minus zoom, 0 shows all.";

class Timeline {
  constructor(run, worked, open) {
    Object.assign(this, {
      run,
      worked,
      open,
      axis: new Axis(run.end),
      opened: new Set(),
      selected: null,
      active: null,
      onPaper: false,
    });
    this.hasLanes = worked.some((node) => known(node.lane));
    this.byNode = !this.hasLanes || timelineRows(run, true, this.opened).length <= BY_NODE_UP_TO;
    this.steps = concurrency(worked);
    this.most = this.steps.reduce((high, [, working]) => Math.max(high, working), 1);
    this.head = s("svg", { class: "axis", "aria-hidden": "true" });
    this.plot = s("svg", { class: "rows", role: "presentation" });
    this.strip = s("svg", { class: "strip-svg", "aria-hidden": "true" });
    this.scroll = h("div", { class: "scroll", onscroll: () => this.draw() }, this.plot);
    this.box = h(
      "div",
      {
        class: "plot",
        tabindex: 0,
        role: "listbox",
        "aria-label": TIMELINE_LABEL,
        "aria-describedby": "timeline-keys",
      },
      this.head,
      this.scroll,
      this.strip,
    );
    this.layOut();
    timelineKeys(this);
    timelinePointer(this);
    new ResizeObserver(() => {
      if (!this.onPaper) this.draw();
    }).observe(this.box);
  }

  idOf(node) {
    return `bar-${this.run.place.get(node.id)}`;
  }
  get width() {
    return this.onPaper ? PAPER : Math.max(320, this.box.clientWidth || PAPER);
  }
  get gutter() {
    return this.width < 640 ? 84 : this.byNode ? 190 : 92;
  }
  // Where a time is, at most at the ends of what is in sight.
  x(time) {
    return this.axis.x(Math.max(this.axis.from, Math.min(this.axis.to, time)));
  }

  layOut() {
    this.rows = timelineRows(this.run, this.byNode, this.opened);
    this.height =
      this.rows.reduce((top, row) => {
        row.top = top;
        return top + row.height;
      }, 4) + 4;
  }
  show(byNode) {
    this.byNode = byNode;
    this.layOut();
    this.scroll.scrollTop = 0;
    this.draw();
  }
  fit() {
    this.axis.fit();
    this.draw();
  }
  // Around a time, or the node that is active, or the middle.
  zoom(factor, around) {
    const { axis } = this,
      node = this.active === null ? null : this.run.byId.get(this.active);
    const inSight = node && endOf(node) > axis.from && node.started < axis.to;
    axis.zoom(factor, around ?? (inSight ? (node.started + endOf(node)) / 2 : undefined));
    this.draw();
  }

  move(index) {
    const node = this.worked[Math.max(0, Math.min(this.worked.length - 1, index))],
      { scroll, rows } = this;
    this.active = node.id;
    this.axis.show(startOf(node), endOf(node));
    const row = rows.find((found) => found.node === node) ?? rows.find((found) => found.nodes.includes(node));
    if (row.top < scroll.scrollTop) scroll.scrollTop = row.top - 4;
    else if (row.top + row.height > scroll.scrollTop + scroll.clientHeight)
      scroll.scrollTop = row.top + row.height - scroll.clientHeight + 4;
    this.draw();
  }
  // To the node of the next row that is nearest in time.
  moveRow(by) {
    const middle = (node) => (node.started + endOf(node)) / 2,
      { rows } = this;
    const at = rows.findIndex((row) => row.nodes.some((node) => node.id === this.active));
    const row = rows[Math.max(0, Math.min(rows.length - 1, at + by))],
      time = this.active === null ? 0 : middle(this.run.byId.get(this.active));
    const nearest = row.nodes.reduce((best, node) =>
      Math.abs(middle(node) - time) < Math.abs(middle(best) - time) ? node : best,
    );
    this.move(this.worked.indexOf(nearest));
  }

  label(row) {
    const left = row.child ? 26 : 14,
      room = this.gutter - left - 8,
      middle = row.top + Math.min(row.height, LANE) / 2 + 4;
    const weight = row.node && this.run.critical.has(row.node.id) ? "650" : "400";
    const failed = this.byNode && row.nodes.some((node) => node.status === "failed") ? " fill-failed" : "";
    const text = s(
      "text",
      {
        class: `row-label${row.key || row.node ? " opens" : ""}${failed}`,
        x: left,
        y: middle,
        style: { fontWeight: weight },
      },
      fitText(row.label, room, `${weight} 12px`),
    );
    if (row.label.length > 20) text.append(s("title", null, row.label));
    text.addEventListener("click", () => {
      if (row.node) return this.open(row.node.id);
      if (!row.key) return undefined;
      if (!this.opened.delete(row.key)) this.opened.add(row.key);
      this.layOut();
      return this.draw();
    });
    return [
      text,
      row.more && row.height > 34 ? s("text", { class: "small", x: left + 13, y: row.top + 31 }, row.more) : null,
    ];
  }

  draw() {
    const { axis, width, height, scroll } = this,
      top = scroll.scrollTop;
    axis.place(this.gutter, width - this.gutter - 14);
    for (const [svg, high] of [
      [this.head, AXIS],
      [this.plot, height],
      [this.strip, STRIP],
    ]) {
      svg.setAttribute("width", width);
      svg.setAttribute("height", high);
      svg.setAttribute("viewBox", `0 0 ${width} ${high}`);
      svg.replaceChildren();
    }
    scroll.scrollTop = top;
    this.drawRows(axis.ticks());
    this.drawStrip();
    this.box.classList.toggle("zoomed", axis.isZoomed);
    if (this.active !== null) this.box.setAttribute("aria-activedescendant", this.idOf(this.run.byId.get(this.active)));
  }
  drawRows(ticks) {
    const { axis, width, height, scroll } = this,
      high = scroll.clientHeight || 620;
    const [from, to] = this.onPaper ? [0, Infinity] : [scroll.scrollTop - 100, scroll.scrollTop + high + 100];
    const anchor = (x) => (x > width - 40 ? "end" : x <= axis.left + 1 ? "start" : "middle");
    append(
      this.head,
      ticks.map(([time, text]) =>
        s("text", { class: "small", x: axis.x(time).toFixed(1), y: 17, "text-anchor": anchor(axis.x(time)) }, text),
      ),
    );
    const stripes = s(
      "pattern",
      { id: "stripes", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      s("rect", { width: 2.2, height: 6, style: { fill: "#ffffff", fillOpacity: "0.45" } }),
    );
    const visible = s(
      "clipPath",
      { id: "in-plot" },
      s("rect", { x: axis.left - 3, y: 0, width: axis.width + 14, height }),
    );
    append(this.plot, [
      s("defs", null, stripes, visible),
      ticks.map(([time]) => {
        const x = axis.x(time).toFixed(1);
        return s("line", { class: "tick", x1: x, x2: x, y1: 0, y2: height });
      }),
    ]);
    const inside = s("g", { "clip-path": "url(#in-plot)" });
    for (const row of this.rows.filter((each) => each.top <= to && each.top + each.height >= from)) {
      const below = row.top + row.height - 0.5;
      append(this.plot, [s("line", { class: "row-line", x1: 0, x2: width, y1: below, y2: below }), this.label(row)]);
      append(inside, barsOf(this, row));
    }
    this.plot.append(inside);
  }
  // Below: how many nodes work at once in the whole run, the critical path, and the part that is in sight.
  drawStrip() {
    const { axis, run, most } = this,
      base = STRIP - 16,
      high = base - 6,
      scale = axis.width / run.end;
    const x = (time) => (axis.left + time * scale).toFixed(1);
    const area = this.steps
      .map(([time, working]) => `H${x(time)}V${(base - (working / most) * high).toFixed(1)}`)
      .join("");
    const onPath = this.worked.filter((node) => run.critical.has(node.id)).slice(0, 400);
    const words = (text, y) => s("text", { class: "small", x: 14, y }, text);
    append(this.strip, [
      words(`${number(most)} at once`, 18),
      words(this.gutter > 90 ? "critical path" : "critical", STRIP - 7),
      s("rect", { class: "strip", x: axis.left, y: 4, width: axis.width, height: base - 4 }),
      s("path", { class: "strip-area", d: `M${x(0)} ${base}${area}H${x(run.end)}V${base}Z` }),
      onPath.map((node) =>
        s("rect", {
          class: "critical-mark node-bar",
          "data-node": node.id,
          x: x(node.started),
          y: base + 3,
          width: Math.max(1, (endOf(node) - node.started) * scale - 0.7).toFixed(1),
          height: 6,
        }),
      ),
      axis.isZoomed
        ? s("rect", {
            class: "strip-window",
            x: x(axis.from),
            y: 4,
            width: Math.max(4, axis.span * scale).toFixed(1),
            height: base - 4,
          })
        : null,
    ]);
  }

  select(id) {
    this.selected = id;
    const node = this.run.byId.get(id);
    if (node && ran(node)) this.move(this.worked.indexOf(node));
    else this.draw();
  }
  print() {
    this.onPaper = true;
    this.fit();
    return () => {
      this.onPaper = false;
      this.draw();
    };
  }
}

function timeline(run, { open }) {
  const worked = run.nodes.filter(ran).sort((a, b) => a.started - b.started);
  const reused = run.nodes.filter((node) => node.status === "reused").length;
  const title = h("h2", { id: "timeline-title" }, "Timeline");
  if (!worked.length) {
    const why = reused ? `No node ran: ${count(reused, "node")} reused what earlier runs had made.` : "No node ran.";
    return {
      element: h(
        "section",
        { id: "timeline", "aria-labelledby": "timeline-title" },
        h("div", { class: "head" }, title),
        h("p", { class: "muted" }, why),
      ),
    };
  }
  const view = new Timeline(run, worked, open);
  const choices = [
    ["by node", true],
    ["by slot", false],
  ].map(([text, byNode]) =>
    h(
      "button",
      {
        type: "button",
        "aria-pressed": String(byNode === view.byNode),
        onclick: (event) => {
          view.show(byNode);
          for (const choice of choices) choice.setAttribute("aria-pressed", String(choice === event.currentTarget));
        },
      },
      text,
    ),
  );
  view.element = h(
    "section",
    { id: "timeline", class: "timeline", "aria-labelledby": "timeline-title" },
    h(
      "div",
      { class: "head" },
      title,
      h("span", { class: "muted" }, `${count(worked.length, "node")} ran in ${seconds(run.run.duration ?? run.end)}`),
      h(
        "div",
        { class: "tools" },
        view.hasLanes ? h("div", { class: "group", role: "group", "aria-label": "Rows" }, choices) : null,
        zoomButtons(
          (factor) => view.zoom(factor),
          "the whole run",
          () => view.fit(),
        ),
      ),
    ),
    h("div", { class: "card" }, view.box, timelineLegend(run, worked, reused)),
  );
  return view;
}
