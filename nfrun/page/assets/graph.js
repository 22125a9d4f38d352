// The graph of nodes: boxes in layers. A small graph is drawn whole, of a large one what is in sight; from afar boxes of
// one status are one path, so that 10,000 nodes can be looked at.

const FEW = 150, LABELLED = 70, MOST_UNFOLDED = 60, FOLDED_FROM = 5;

function graph(run, { open }) {
  const opened = new Set();
  {
    const sizes = new Map();
    for (const node of run.nodes) for (const fold of foldsOf(node)) sizes.set(fold, (sizes.get(fold) ?? 0) + 1);
    for (const [fold, many] of sizes) if (run.nodes.length <= MOST_UNFOLDED && (fold.startsWith("group ") || many < FOLDED_FROM)) opened.add(fold);
  }
  const total = Math.max(1e-9, run.busy);
  let plan, longest, selected = null, active = null, drawnKey = "", onPaper = false;
  const view = { k: 1, x: 0, y: 0 };
  const svg = s("svg", { role: "presentation" }), world = s("g", null);
  svg.append(world);
  const box = h("div", { class: "view", tabindex: 0, role: "listbox", "aria-label": "Graph of the nodes. Right goes to a reader, left to what a node reads, up and down within a stage, Enter shows a node or unfolds, plus and minus zoom, 0 shows all." }, svg);

  function build() {
    plan = layout(foldedGraph(run, opened));
    for (const each of plan.boxes) {
      const worked = each.nodes.filter(ran);
      each.took = worked.reduce((sum, node) => sum + (node.duration ?? 0), 0);
      each.ran = worked.length;
      each.status = each.nodes.map((node) => node.status).sort((a, b) => RANK[a] - RANK[b])[0];
      each.critical = each.nodes.some((node) => run.critical.has(node.id));
      each.name = each.fold ? each.fold.replace(/^\w+ /, "") : each.nodes[0].id;
      const outputs = [...new Set(each.from.map((edge) => edge.output))];
      for (const edge of each.from) edge.port = outputs.length > 1 && outputs.length < 6 && !each.fold ? (outputs.indexOf(edge.output) - (outputs.length - 1) / 2) * 11 : 0;
    }
    longest = plan.boxes.reduce((most, each) => Math.max(most, each.took), 1e-9);
    plan.far = null;
    drawnKey = "";
    foldAll.hidden = !plan.folds.length;
    foldAll.textContent = plan.folds.some((fold) => opened.has(fold)) ? "fold all" : "unfold all";
  }

  const high = () => box.clientHeight || 480, wide = () => box.clientWidth || 1000;
  function fit() {
    const most = Math.min(window.innerHeight * 0.7, 560), room = 34;
    const least = plan.boxes.length <= MOST_UNFOLDED * 2 ? 0.6 : 0.005;  // what few boxes need to be read
    view.k = Math.max(least, Math.min(1, (wide() - 40) / plan.width, (most - room - 24) / plan.height));
    box.style.height = `${Math.max(plan.boxes.length > FEW ? 340 : 150, Math.min(most, plan.height * view.k + room + 30))}px`;
    view.x = Math.max(20, (wide() - plan.width * view.k) / 2);
    view.y = Math.max(room, (high() - plan.height * view.k) / 2 + 8);
    draw();
  }

  const inSight = (x1, y1, x2, y2) => plan.boxes.length <= FEW || (x2 * view.k + view.x > -60 && x1 * view.k + view.x < wide() + 60 && y2 * view.k + view.y > -60 && y1 * view.k + view.y < high() + 60);

  function subtitle(each) {
    if (each.fold) return `${number(each.nodes.length)} ${each.fold.startsWith("cells ") ? "cells" : "nodes"}${each.ran ? ` · ${seconds(each.took)} · ${percent(each.took / total)}` : ` · ${wordOf(each.status)}`}`;
    return each.ran ? `${each.nodes[0].kind ? `${each.nodes[0].kind} · ` : ""}${seconds(each.took)} · ${percent(each.took / total)}` : [each.nodes[0].kind, wordOf(each.status)].filter(Boolean).join(" · ");
  }
  function boxElement(each) {
    const current = each.key === active || each.nodes.some((node) => node.id === selected && !each.fold);
    const parts = [];
    if (each.fold) parts.push(s("rect", { class: "behind", x: 5, y: -5, width: BOX.width, height: BOX.height, rx: 6 }));
    parts.push(s("rect", { class: "body", width: BOX.width, height: BOX.height, rx: 6 }));
    const shape = s("g", { class: `icon text-${each.status}`, transform: "translate(9,8) scale(0.9)" }, s("path", { d: ICONS[each.status] ?? ICONS.not_selected }));
    parts.push(shape, s("text", { x: 29, y: 19 }, fitText(each.name, BOX.width - 38 - (each.fold ? 12 : 0), "550 12px")), s("text", { class: "small", x: 29, y: 34 }, fitText(subtitle(each), BOX.width - 36, "11px")));
    if (each.fold) parts.push(s("text", { class: "small", x: BOX.width - 16, y: 19 }, "▸"));
    if (each.ran) parts.push(s("rect", { class: "share", x: 1, y: BOX.height - 4, width: Math.max(2, (BOX.width - 2) * (each.took / longest)).toFixed(1), height: 3, rx: 1.5 }));
    return s("g", { class: `box ${each.status}${each.critical ? " critical" : ""}${current ? " current" : ""}`, transform: `translate(${each.x.toFixed(1)},${each.y.toFixed(1)})`, role: "option", id: `box-${each.index}`, "data-box": each.index,
      "aria-selected": String(current), "aria-label": `${each.name}: ${wordOf(each.status)}, ${subtitle(each)}, stage ${each.column + 1}${each.critical ? ", on the critical path" : ""}${each.fold ? ", folded" : ""}` }, parts);
  }
  const isNear = (edge) => [edge.from, edge.to].some((each) => each.key === active || each.nodes.some((node) => node.id === selected));
  const sums = (edge) => { const tables = [...edge.tables.values()]; const sum = (name) => tables.reduce((total, table) => (known(table[name]) && (name === "bytes" || isTable(table)) ? (total ?? 0) + table[name] : total), null); return { rows: sum("rows"), bytes: sum("bytes"), many: tables.length }; };

  function near() {
    const boxes = plan.boxes.filter((each) => inSight(each.x, each.y, each.x + BOX.width, each.y + BOX.height));
    const edges = plan.edges.filter((edge) => inSight(Math.min(edge.from.x, edge.to.x), Math.min(edge.from.y, edge.to.y, ...edge.through.map((gap) => gap.y)), Math.max(edge.from.x, edge.to.x) + BOX.width, Math.max(edge.from.y, edge.to.y, ...edge.through.map((gap) => gap.y)) + BOX.height));
    const thick = (edge) => { const { bytes } = sums(edge); return bytes ? Math.min(5, 1 + Math.max(0, Math.log10(bytes / 1e4)) * 0.8) : 1.2; };
    const draws = edges.slice(0, 4000);
    const drawEdge = (edge) => s("path", { class: `edge ${edge.kind === "order" ? "order" : "data"}${edge.critical ? " critical" : ""}${isNear(edge) ? " near" : ""}`, d: edgePath(edge), "stroke-width": thick(edge).toFixed(1) });
    const hits = plan.edges.length <= 600 ? draws.map((edge) => s("path", { class: "hit", d: edgePath(edge), style: { fill: "none", stroke: "transparent", strokeWidth: "9px" }, "data-edge": plan.edges.indexOf(edge) })) : [];
    append(world, [draws.filter((edge) => !isNear(edge)).map(drawEdge), draws.filter(isNear).map(drawEdge), hits, plan.boxes.length <= LABELLED ? labels(boxes) : null, boxes.map(boxElement)]);
  }
  // Rows above the line and bytes below, once for each output.
  function labels(boxes) {
    return boxes.flatMap((each) => {
      const seen = new Map(each.from.filter((edge) => edge.kind !== "order").map((edge) => [edge.fold ? "" : edge.output, edge]));
      if (!seen.size || seen.size > 2) return [];
      return [...seen.values()].flatMap((edge, index) => {
        const { rows, bytes } = sums(edge), x = each.x + BOX.width + 7, y = each.y + BOX.height / 2 + (edge.port ?? 0);
        const alone = seen.size === 1, text = (shown, dy) => (shown ? s("text", { class: "edge-text", x, y: y + dy }, shown) : null);
        return alone ? [text(known(rows) ? count(rows, "row") : size(bytes), -5), text(known(rows) ? size(bytes) : "", 13)] : [text(known(rows) ? count(rows, "row") : size(bytes), index ? 13 : -5)];
      });
    });
  }
  function far() {
    if (!plan.far) {
      const byStatus = new Map();
      for (const each of plan.boxes) byStatus.set(each.status, `${byStatus.get(each.status) ?? ""}M${each.x.toFixed(0)} ${each.y.toFixed(0)}h${BOX.width}v${BOX.height}h${-BOX.width}z`);
      const lines = (edges) => edges.map((edge) => `M${(edge.from.x + BOX.width).toFixed(0)} ${(edge.from.y + BOX.height / 2).toFixed(0)}L${edge.to.x.toFixed(0)} ${(edge.to.y + BOX.height / 2).toFixed(0)}`).join("");
      plan.far = [s("path", { class: "edge", d: lines(plan.edges.slice(0, 30000)), style: { strokeOpacity: "0.35" } }), s("path", { class: "edge critical", d: lines(plan.edges.filter((edge) => edge.critical)), style: { strokeWidth: "6px" } }),
        [...byStatus].map(([status, d]) => s("path", { class: `far fill-${status}`, d })),
        s("path", { d: plan.boxes.filter((each) => each.critical).map((each) => `M${each.x.toFixed(0)} ${each.y.toFixed(0)}h${BOX.width}v${BOX.height}h${-BOX.width}z`).join(""), style: { fill: "none", stroke: "var(--ink)", strokeWidth: "10px" } })];
    }
    append(world, [plan.far]);
    const chosen = plan.boxes.find((each) => each.key === active || (selected !== null && plan.boxOf.get(selected) === each));
    if (chosen) append(world, [s("rect", { x: chosen.x - 20, y: chosen.y - 20, width: BOX.width + 40, height: BOX.height + 40, rx: 20, style: { fill: "none", stroke: "var(--accent)", strokeWidth: `${3 / view.k}px` } })]);
  }
  function draw() {
    if (onPaper) return;
    const isFar = plan.boxes.length > FEW && view.k < 0.42;
    world.setAttribute("transform", `translate(${view.x.toFixed(1)},${view.y.toFixed(1)}) scale(${view.k.toFixed(4)})`);
    const key = [isFar, plan.boxes.length > FEW && !isFar ? `${view.k} ${view.x} ${view.y} ${wide()}` : "", active, selected].join("|");
    if (key === drawnKey) return;
    drawnKey = key;
    world.replaceChildren();
    (isFar ? far : near)();
    append(world, [stageNames()]);
    if (active !== null) { const found = plan.boxes.find((each) => each.key === active); if (found) box.setAttribute("aria-activedescendant", `box-${found.index}`); }
  }
  // Above the columns, as large from afar as from near, and as many as have room.
  function stageNames() {
    const size = 11 / Math.min(1, view.k * 1.2);
    let last = -Infinity;
    return plan.heads.map(([x, stage]) => {
      if ((x - last) * view.k < 62) return null;
      last = x;
      return s("text", { class: "small", x: x + 2, y: -1.3 * size, style: { fontSize: `${size}px` } }, `stage ${stage}`);
    });
  }
  let waiting = false;
  const soon = () => { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; draw(); }); } };

  function zoom(factor, x = wide() / 2, y = high() / 2) {
    const k = Math.max(0.005, Math.min(2.5, view.k * factor));
    view.x = x - ((x - view.x) * k) / view.k;
    view.y = y - ((y - view.y) * k) / view.k;
    view.k = k;
    soon();
  }
  function reveal(each) {
    if (plan.boxes.length > FEW && view.k < 0.42) view.k = 0.8;
    const x = each.x * view.k + view.x, y = each.y * view.k + view.y, inside = x > 10 && y > 24 && x + BOX.width * view.k < wide() - 10 && y + BOX.height * view.k < high() - 10;
    if (!inside) { view.x = wide() / 2 - (each.x + BOX.width / 2) * view.k; view.y = high() / 2 - (each.y + BOX.height / 2) * view.k; }
  }
  function act(each) {
    if (!each.fold) { active = each.key; open(each.nodes[0].id); return; }
    const before = [each.x * view.k + view.x, each.y * view.k + view.y];
    opened.add(each.fold);
    build();
    const first = plan.boxOf.get(each.nodes[0].id);
    active = first.key;
    view.x = before[0] - first.x * view.k; view.y = before[1] - first.y * view.k;
    resize();
    reveal(first);
    draw();
  }
  function resize() { box.style.height = `${Math.max(150, Math.min(window.innerHeight * 0.7, 560, plan.height * view.k + 64))}px`; }

  box.addEventListener("keydown", (event) => {
    const each = plan.boxes.find((found) => found.key === active) ?? plan.boxOf.get(selected);
    const away = (other) => Math.abs(other.column - each.column) * 1e6 + Math.abs(other.y - each.y);
    const nearest = (found) => found.reduce((best, other) => (best === null || away(other) < away(best) ? other : best), null);
    const inColumn = (by) => { const column = plan.boxes.filter((found) => found.column === each.column).sort((a, b) => a.y - b.y || a.x - b.x); return column[column.indexOf(each) + by]; };
    const moves = { ArrowRight: () => nearest(each.from.map((edge) => edge.to)), ArrowLeft: () => nearest(each.into.map((edge) => edge.from)), ArrowDown: () => inColumn(1), ArrowUp: () => inColumn(-1) };
    const others = { "+": () => zoom(1.4), "=": () => zoom(1.4), "-": () => zoom(1 / 1.4), 0: fit, Enter: () => each && act(each), " ": () => each && act(each) };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in moves) { const to = each ? moves[event.key]() : plan.boxes[0]; if (to) { active = to.key; reveal(to); draw(); } } else if (event.key in others) others[event.key](); else return;
    event.preventDefault();
  });

  const boxAt = (event) => {
    const index = event.target.closest?.("[data-box]")?.getAttribute("data-box");
    if (index !== null && index !== undefined) return plan.boxes[Number(index)];
    if (plan.boxes.length <= FEW) return undefined;
    const place = box.getBoundingClientRect(), x = (event.clientX - place.left - view.x) / view.k, y = (event.clientY - place.top - view.y) / view.k;
    return plan.boxes.find((each) => x >= each.x && x <= each.x + BOX.width && y >= each.y && y <= each.y + BOX.height);
  };
  let drag = null;
  box.addEventListener("pointerdown", (event) => { if (!event.button) { drag = { x: event.clientX, y: event.clientY, from: { ...view }, box: boxAt(event), moved: false }; } });
  box.addEventListener("pointermove", (event) => {
    if (!drag) {
      const each = boxAt(event), edge = plan.edges[event.target.getAttribute?.("data-edge") ?? -1];
      if (each) tip.show(event, each.fold ? [h("b", null, bdi(each.name)), h("div", null, subtitle(each)), h("div", { class: "muted" }, "click to unfold")] : barTip(each.nodes[0], run));
      else if (edge) { const { rows, bytes, many } = sums(edge); tip.show(event, h("b", null, bdi(edge.from.name), " → ", bdi(edge.to.name)), edge.kind === "order" ? "waits for it, reads nothing" : [many > 1 ? `${number(many)} tables, ` : edge.output !== edge.from.name && !edge.from.fold ? `${edge.output}: ` : "", amount({ rows, bytes }) || "not recorded"]); } else tip.hide();
      return;
    }
    if (!drag.moved && Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > 4) { drag.moved = true; svg.classList.add("panning"); box.setPointerCapture(event.pointerId); tip.hide(); }
    if (drag.moved) { view.x = drag.from.x + event.clientX - drag.x; view.y = drag.from.y + event.clientY - drag.y; soon(); }
  });
  box.addEventListener("pointerup", () => { if (drag && !drag.moved && drag.box) act(drag.box); drag = null; svg.classList.remove("panning"); });
  box.addEventListener("pointercancel", () => { drag = null; });
  box.addEventListener("pointerleave", tip.hide);
  box.addEventListener("wheel", (event) => {
    const place = box.getBoundingClientRect();
    if (event.ctrlKey || event.metaKey) zoom(Math.exp(-event.deltaY / 300), event.clientX - place.left, event.clientY - place.top);
    else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) { view.x -= event.deltaX; soon(); } else return;
    event.preventDefault();
  }, { passive: false });

  const button = (text, label, act_) => h("button", { type: "button", "aria-label": label, title: label, onclick: act_ }, text);
  const foldAll = button("fold all", "Fold or unfold matrices and sub-pipelines", () => {
    if (plan.folds.some((fold) => opened.has(fold))) opened.clear(); else plan.folds.forEach((fold) => opened.add(fold));
    active = null; build(); fit();
  });
  build();
  let laid = 0;
  new ResizeObserver(() => { if (wide() !== laid && !onPaper) { const isFirst = !laid; laid = wide(); if (isFirst || plan.boxes.length <= FEW) fit(); else draw(); } }).observe(box);
  const stages = plan.heads.length;
  return {
    element: h("section", { id: "graph", class: "graph", "aria-labelledby": "graph-title" },
      h("div", { class: "head" }, h("h2", { id: "graph-title" }, "Graph"), h("span", { class: "muted" }, `${count(run.nodes.length, "node")} in ${count(stages, "stage")}`),
        h("div", { class: "tools" }, foldAll, h("div", { class: "group", role: "group", "aria-label": "Zoom" }, button("−", "Zoom out", () => zoom(1 / 1.4)), button("+", "Zoom in", () => zoom(1.4)), button("all", "Show the whole graph", fit)))),
      h("div", { class: "card" }, box, h("div", { class: "legend" },
        h("span", null, s("svg", { width: 18, height: 8 }, s("rect", { x: 0, y: 3, width: 18, height: 3, style: { fill: "var(--work)" } })), "share of the time at work"),
        run.links.some((edge) => edge.kind === "order") ? h("span", null, s("svg", { width: 22, height: 8 }, s("path", { class: "edge order", d: "M0 4H22" })), "waits for it, reads nothing") : null,
        run.critical.size ? h("span", null, s("svg", { width: 22, height: 8 }, s("path", { class: "edge critical", d: "M0 4H22", "stroke-width": 2 })), "critical path") : null,
        h("span", { class: "hint" }, h("kbd", null, "Ctrl"), " + wheel zooms, drag moves, arrows go along the edges")))),
    select(id) { selected = id; const each = id === null ? null : plan.boxOf.get(id); active = each ? each.key : active; if (each) reveal(each); draw(); },
    print() {
      onPaper = true;
      world.setAttribute("transform", "");
      svg.setAttribute("viewBox", `-20 -34 ${plan.width + 40} ${plan.height + 60}`);
      return () => { onPaper = false; svg.removeAttribute("viewBox"); drawnKey = ""; draw(); };
    },
  };
}

