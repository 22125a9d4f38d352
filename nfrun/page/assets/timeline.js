// The timeline: bars by node or by slot, over one axis of time. Only what is in sight is drawn. Narrow bars have no phases,
// and the narrowest that lie side by side become one.
const LANE = 24, CELL = 9, MOST_LANES = 8, BY_NODE_UP_TO = 40, AXIS = 26, STRIP = 54;
const ALONE = 1.5, DETAILED = 4;  // pixels from which a bar stands alone, and has its phases

function timelineRows(run, byNode, opened) {
  const worked = run.nodes.filter(ran).sort((a, b) => a.started - b.started || endOf(a) - endOf(b));
  if (!byNode) {
    const lanes = new Map();
    for (const node of worked) {
      const key = node.worker ? `${node.worker} ${node.lane ?? ""}` : node.lane ?? "?";
      if (!lanes.has(key)) lanes.set(key, { worker: node.worker, lane: node.lane, nodes: [] });
      lanes.get(key).nodes.push(node);
    }
    const rows = [...lanes.values()].sort((a, b) => (a.worker ?? "").localeCompare(b.worker ?? "") || (a.lane ?? 0) - (b.lane ?? 0));
    return rows.map((row, index) => ({ label: row.worker ? `${row.worker}` : `slot ${index + 1}`, nodes: row.nodes, height: LANE, tall: 16 }));
  }
  const families = new Map();
  for (const node of worked) {
    const key = node.of ? `cells ${node.of}` : `node ${node.id}`;
    if (families.has(key)) families.get(key).push(node); else families.set(key, [node]);
  }
  return [...families].flatMap(([key, nodes]) => {
    if (nodes.length === 1) return [{ label: nodes[0].id, node: nodes[0], nodes, height: LANE, tall: 14 }];
    const isOpen = opened.has(key), { lanes, count } = packed(nodes), shown = Math.min(count, MOST_LANES);
    const folded = { label: `${isOpen ? "▾" : "▸"} ${nodes[0].of}`, more: `${number(nodes.length)} cells`, key, nodes, lanes, shown, height: Math.max(LANE, shown * CELL + 8), tall: shown === 1 ? 14 : CELL - 2 };
    return [folded, ...(isOpen ? nodes.map((node) => ({ label: cellName(node), node, nodes: [node], height: LANE, tall: 14, child: true })) : [])];
  });
}

function barTip(node, run) {
  const phases = (node.phases ?? []).filter(([, begin, end]) => end > begin);
  return [h("b", null, bdi(node.id)), h("div", null, icon(node.status), ` ${wordOf(node.status)}, ${seconds(node.duration)}`, run.critical.has(node.id) ? ", on the critical path" : ""),
    phases.length ? h("table", null, h("tbody", null, phases.map(([name, begin, end]) => h("tr", null, h("td", { class: "muted" }, PHASES[name] ?? name), h("td", { class: "num" }, seconds(end - begin)))))) : null,
    node.error ? h("div", { class: "text-failed" }, valueText(errorText(node.error), 200)) : null];
}

function timeline(run, { open }) {
  const worked = run.nodes.filter(ran).sort((a, b) => a.started - b.started);
  const reused = run.nodes.filter((node) => node.status === "reused").length;
  const title = h("h2", { id: "timeline-title" }, "Timeline");
  if (!worked.length) {
    return { element: h("section", { id: "timeline", "aria-labelledby": "timeline-title" }, h("div", { class: "head" }, title),
      h("p", { class: "muted" }, reused ? `No node ran: ${count(reused, "node")} reused what earlier runs had made.` : "No node ran.")) };
  }
  const axis = new Axis(run.end), opened = new Set();
  const hasLanes = worked.some((node) => known(node.lane));
  let byNode = !hasLanes || timelineRows(run, true, opened).length <= BY_NODE_UP_TO;
  let rows = [], selected = null, active = null, onPaper = false;
  const steps = concurrency(worked), most = steps.reduce((high, [, working]) => Math.max(high, working), 1);

  const head = s("svg", { class: "axis", "aria-hidden": "true" }), plot = s("svg", { class: "rows", role: "presentation" }), strip = s("svg", { class: "strip-svg", "aria-hidden": "true" });
  const scroll = h("div", { class: "scroll", onscroll: () => draw() }, plot);
  const box = h("div", { class: "plot", tabindex: 0, role: "listbox", "aria-label": "Timeline of the nodes that ran. Left and right go from node to node, up and down from row to row, Enter shows a node, plus and minus zoom, 0 shows all.", "aria-describedby": "timeline-keys" }, head, scroll, strip);

  const gutter = () => (width() < 640 ? 84 : byNode ? 190 : 92);
  const width = () => (onPaper ? 1000 : Math.max(320, box.clientWidth || 1000));

  function layoutRows() {
    rows = timelineRows(run, byNode, opened);
    let top = 4;
    for (const row of rows) { row.top = top; top += row.height; }
    rows.height = top + 4;
  }

  const criticalMark = (node, x, wide, y, tall) => (run.critical.has(node.id) ? s("rect", { class: "critical-mark", x: x.toFixed(2), y: y + tall + 1, width: wide.toFixed(2), height: Math.min(2.5, tall / 3), "pointer-events": "none" }) : null);

  function barOf(node, y, tall, row) {
    const start = axis.x(Math.max(node.started, axis.from)), stop = axis.x(Math.min(endOf(node), axis.to)), wide = Math.max(1.5, stop - start);
    const phases = (node.phases ?? []).filter(([name, begin, end]) => end > begin && end > axis.from && begin < axis.to && ((byNode && !row.lanes) || name !== "queued" || node.id === selected || node.id === active));
    const [begins] = busyOf(node).slice(-1), waits = begins[0] - node.started > 1e-6 && !phases.some(([name]) => name === "queued");
    const pieces = phases.length && wide > 1.5 ? [...(waits ? [["queued", node.started, begins[0]]] : []), ...phases] : [["work", begins[0], begins[1]]];
    const tries = attemptsBefore(node).map(({ started, duration }) => ["tried", started, started + (duration ?? 0)]).filter(([, begin, end]) => end > axis.from && begin < axis.to);
    const between = s("rect", { class: "bar-queued", x: start.toFixed(2), width: wide.toFixed(2), y: y + tall / 2 - 1, height: 2 });  // from phase to phase
    const parts = [between, ...[...pieces, ...tries].map(([name, begin, end]) => {
      const from = axis.x(Math.max(begin, axis.from)), to = axis.x(Math.min(end, axis.to)), thin = name === "queued";
      return s("rect", { class: isFailed(node) && name === "work" ? "bar-failed" : `bar-${name}`, x: from.toFixed(2), width: Math.max(name === "work" || name === "tried" ? 1.5 : 0.4, to - from).toFixed(2), y: thin ? y + tall / 2 - 1.5 : y, height: thin ? 3 : tall, rx: thin ? 0 : Math.min(2, tall / 4) });
    })];
    const last = axis.x(Math.max(begins[0], axis.from));
    if (isFailed(node)) parts.push(s("rect", { x: last.toFixed(2), y, width: Math.max(1.5, stop - last).toFixed(2), height: tall, fill: "url(#stripes)", "pointer-events": "none" }));
    parts.push(criticalMark(node, start, wide, y, tall));
    if (!byNode && wide > 34) { const text = fitText(node.id, wide - 10, "11px"); if (text.length > 2) parts.push(s("text", { class: "inside", x: (start + 5).toFixed(2), y: y + tall / 2 + 4 }, text)); }
    if (node.id === selected || node.id === active) parts.push(s("rect", { class: "chosen", x: (start - 2).toFixed(2), y: y - 2, width: (wide + 4).toFixed(2), height: tall + 4, rx: 3 }));
    if (byNode && row.node && tall > 10) {
      const label = `${isFailed(node) ? "✕ " : ""}${seconds(node.duration)}`, after = stop + 6, room = gutter() + axis.width - after;
      if (room > 54) parts.push(s("text", { class: `small${isFailed(node) ? " fill-failed" : ""}`, x: after.toFixed(2), y: y + tall / 2 + 4, "pointer-events": "none" }, label));
    }
    return s("g", { class: "node-bar", id: `bar-${run.place.get(node.id)}`, role: "option", "aria-selected": String(node.id === selected), "data-node": node.id,
      "aria-label": `${node.id}: ${wordOf(node.status)}, ${seconds(node.duration)}, from ${seconds(node.started)}${run.critical.has(node.id) ? ", on the critical path" : ""}` }, parts);
  }

  // Bars of a row in sight; the narrowest that touch are drawn as one, which cannot be clicked.
  function bars(row) {
    const found = [], merged = new Map();
    for (const node of row.nodes) {
      const begin = startOf(node), end = endOf(node);
      if (end < axis.from || begin > axis.to) continue;
      const lane = row.lanes ? row.lanes.get(node.id) % MOST_LANES : 0;
      const y = row.top + (row.lanes && row.shown > 1 ? 4 + lane * CELL : (row.height - row.tall) / 2 - 1);
      const from = axis.x(Math.max(node.started, axis.from)), to = axis.x(Math.min(end, axis.to));
      const special = isFailed(node) || node.id === selected || node.id === active;
      const last = merged.get(lane);
      if (to - from >= DETAILED || special) { found.push(barOf(node, y, row.tall, row)); continue; }
      if (to - from >= ALONE) { found.push(s("rect", { class: "bar-work node-bar", "data-node": node.id, x: from.toFixed(2), y, width: (to - from).toFixed(2), height: row.tall }), criticalMark(node, from, to - from, y, row.tall)); continue; }
      if (last && from - last.to < 0.8) last.to = Math.max(last.to, to);
      else { const group = { from, to, y }; merged.set(lane, group); found.push(group); }
    }
    return found.filter(Boolean).map((each) => (each instanceof Node ? each : s("rect", { class: "bar-work", x: each.from.toFixed(2), y: each.y, width: Math.max(1, each.to - each.from).toFixed(2), height: row.tall })));
  }

  function label(row) {
    const left = row.child ? 26 : 14, room = gutter() - left - 8, marked = row.node && run.critical.has(row.node.id), failed = byNode && row.nodes.some(isFailed);
    const text = s("text", { class: `row-label${row.key || row.node ? " opens" : ""}${failed ? " fill-failed" : ""}`, x: left, y: row.top + Math.min(row.height, LANE) / 2 + 4, style: { fontWeight: marked ? "650" : "400" } }, fitText(row.label, room, marked ? "650 12px" : "12px"));
    if (row.label.length > 20) text.append(s("title", null, row.label));
    if (row.key) text.addEventListener("click", () => { if (!opened.delete(row.key)) opened.add(row.key); layoutRows(); draw(); });
    else if (row.node) text.addEventListener("click", () => open(row.node.id));
    return [text, row.more && row.height > 34 ? s("text", { class: "small", x: left + 13, y: row.top + 31 }, row.more) : null];
  }

  function draw() {
    const wide = width();
    axis.place(gutter(), wide - gutter() - 14);
    const size = (element, high) => { element.setAttribute("width", wide); element.setAttribute("height", high); element.setAttribute("viewBox", `0 0 ${wide} ${high}`); element.replaceChildren(); };
    const from = onPaper ? 0 : scroll.scrollTop - 100, to = onPaper ? Infinity : scroll.scrollTop + (scroll.clientHeight || 620) + 100;
    const top = scroll.scrollTop;
    size(head, AXIS); size(plot, rows.height); size(strip, STRIP);
    scroll.scrollTop = top;
    const ticks = axis.ticks();
    append(head, ticks.map(([time, text]) => s("text", { class: "small", x: axis.x(time).toFixed(1), y: 17, "text-anchor": axis.x(time) > wide - 40 ? "end" : time === 0 ? "start" : "middle" }, text)));
    append(plot, [stripes(), ticks.map(([time]) => s("line", { class: "tick", x1: axis.x(time).toFixed(1), x2: axis.x(time).toFixed(1), y1: 0, y2: rows.height })),
      s("clipPath", { id: "in-plot" }, s("rect", { x: axis.left - 3, y: 0, width: axis.width + 14, height: rows.height }))]);
    const inside = s("g", { "clip-path": "url(#in-plot)" });
    for (const row of rows) {
      if (row.top > to || row.top + row.height < from) continue;
      append(plot, [s("line", { class: "row-line", x1: 0, x2: wide, y1: row.top + row.height - 0.5, y2: row.top + row.height - 0.5 }), label(row)]);
      append(inside, bars(row));
    }
    plot.append(inside);
    drawStrip();
    box.classList.toggle("zoomed", axis.isZoomed);
    if (active !== null) box.setAttribute("aria-activedescendant", `bar-${run.place.get(active)}`);
  }

  const stripes = () => s("defs", null, s("pattern", { id: "stripes", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, s("rect", { width: 2.2, height: 6, style: { fill: "#ffffff", fillOpacity: "0.45" } })));

  // Below: how many nodes work at once in the whole run, the critical path, and the part that is in sight.
  function drawStrip() {
    const scale = axis.width / run.end, x = (time) => axis.left + time * scale, base = STRIP - 16, high = base - 6;
    let path = `M${x(0)} ${base}`, y = base;
    for (const [time, working] of steps) { path += `H${x(time).toFixed(1)}`; y = base - (working / most) * high; path += `V${y.toFixed(1)}`; }
    append(strip, [s("text", { class: "small", x: 14, y: 18 }, `${number(most)} at once`), s("text", { class: "small", x: 14, y: STRIP - 7 }, gutter() > 90 ? "critical path" : "critical"),
      s("rect", { class: "strip", x: axis.left, y: 4, width: axis.width, height: base - 4 }), s("path", { class: "strip-area", d: `${path}H${x(run.end).toFixed(1)}V${base}Z` }),
      worked.filter((node) => run.critical.has(node.id)).slice(0, 400).map((node) => s("rect", { class: "critical-mark node-bar", "data-node": node.id, x: x(node.started).toFixed(1), width: Math.max(1, (endOf(node) - node.started) * scale - 0.7).toFixed(1), y: base + 3, height: 6 })),
      s("rect", { class: "strip-window", x: x(axis.from).toFixed(1), y: 4, width: Math.max(4, axis.span * scale).toFixed(1), height: base - 4, style: { display: axis.isZoomed ? "" : "none" } })]);
  }

  function move(index) {
    if (!worked.length) return;
    const node = worked[Math.max(0, Math.min(worked.length - 1, index))];
    active = node.id;
    axis.show(startOf(node), endOf(node));
    const row = rows.find((found) => found.node?.id === active) ?? rows.find((found) => found.nodes.includes(node));
    if (row && row.top < scroll.scrollTop) scroll.scrollTop = row.top - 4;
    else if (row && row.top + row.height > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = row.top + row.height - scroll.clientHeight + 4;
    draw();
  }
  function moveRow(by) {
    const middle = active ? (run.byId.get(active).started + endOf(run.byId.get(active))) / 2 : 0;
    const at = rows.findIndex((row) => row.nodes.some((node) => node.id === active));
    const row = rows[Math.max(0, Math.min(rows.length - 1, at + by))];
    const nearest = row.nodes.reduce((best, node) => (Math.abs((node.started + endOf(node)) / 2 - middle) < Math.abs((best.started + endOf(best)) / 2 - middle) ? node : best));
    move(worked.indexOf(nearest));
  }
  box.addEventListener("keydown", (event) => {
    const at = active === null ? -1 : worked.findIndex((node) => node.id === active);
    const keys = {
      ArrowRight: () => (event.shiftKey ? (axis.pan(axis.span / 5), draw()) : move(at + 1)), ArrowLeft: () => (event.shiftKey ? (axis.pan(-axis.span / 5), draw()) : move(Math.max(0, at - 1))),
      ArrowDown: () => moveRow(1), ArrowUp: () => moveRow(-1), Home: () => move(0), End: () => move(worked.length - 1),
      "+": () => zoom(1.6), "=": () => zoom(1.6), "-": () => zoom(1 / 1.6), 0: () => { axis.fit(); draw(); }, Enter: () => active !== null && open(active), " ": () => active !== null && open(active),
    };
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    keys[event.key]();
    event.preventDefault();
  });
  function zoom(factor, around) {
    const node = active === null ? null : run.byId.get(active);
    axis.zoom(factor, around ?? (node && endOf(node) > axis.from && node.started < axis.to ? (node.started + endOf(node)) / 2 : undefined));
    draw();
  }

  const nodeAt = (event) => run.byId.get(event.target.closest?.("[data-node]")?.getAttribute("data-node"));
  let drag = null;
  box.addEventListener("pointerdown", (event) => {
    if (event.button || event.target.closest?.(".row-label")) return;
    drag = { x: event.clientX, from: axis.from, onStrip: strip.contains(event.target), node: nodeAt(event), moved: false };
    if (axis.isZoomed && event.pointerType !== "touch") box.setPointerCapture(event.pointerId);
  });
  box.addEventListener("pointermove", (event) => {
    if (!drag) { const node = nodeAt(event); if (node) tip.show(event, barTip(node, run)); else tip.hide(); return; }
    const by = event.clientX - drag.x;
    if (Math.abs(by) > 4) drag.moved = true;
    if (!drag.moved || !axis.isZoomed) return;
    axis.move(drag.onStrip ? drag.from + (by * run.end) / axis.width : drag.from - by / axis.scale, axis.span);
    box.classList.add("panning");
    tip.hide();
    draw();
  });
  box.addEventListener("pointerup", () => {
    if (drag && !drag.moved && drag.node) { active = drag.node.id; open(drag.node.id); }
    drag = null;
    box.classList.remove("panning");
  });
  box.addEventListener("pointercancel", () => { drag = null; });
  box.addEventListener("pointerleave", tip.hide);
  box.addEventListener("wheel", (event) => {
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (event.ctrlKey || event.metaKey) zoom(Math.exp(-event.deltaY / 300), axis.time(event.clientX - box.getBoundingClientRect().left));
    else if (sideways && axis.isZoomed) { axis.pan(event.deltaX / axis.scale); draw(); }
    else return;
    event.preventDefault();
  }, { passive: false });

  const button = (text, label, act) => h("button", { type: "button", "aria-label": label, title: label, onclick: act }, text);
  const views = [["by node", true], ["by slot", false]].map(([text, value]) => h("button", { type: "button", "aria-pressed": String(value === byNode), onclick: () => {
    byNode = value;
    views.forEach((view, index) => view.setAttribute("aria-pressed", String((index === 0) === byNode)));
    layoutRows(); scroll.scrollTop = 0; draw(); } }, text));
  const swatch = (...children) => s("svg", { width: 16, height: 12, "aria-hidden": "true" }, children);
  const used = new Set(worked.flatMap((node) => (node.phases ?? []).map(([name]) => name)));
  const legend = h("div", { class: "legend" },
    Object.entries(PHASES).filter(([name]) => used.has(name) || name === "work").map(([name, text]) => h("span", null, swatch(s("rect", { class: `bar-${name}`, x: 1, y: name === "queued" ? 5 : 1, width: 14, height: name === "queued" ? 3 : 10, rx: name === "queued" ? 0 : 2 })), text)),
    worked.some((node) => attemptsBefore(node).length) ? h("span", null, swatch(s("rect", { class: "bar-tried", x: 1, y: 1, width: 14, height: 10, rx: 2 })), "attempt that failed") : null,
    worked.some(isFailed) ? h("span", null, swatch(s("rect", { class: "bar-failed", x: 1, y: 1, width: 14, height: 10, rx: 2 }), s("rect", { x: 1, y: 1, width: 14, height: 10, fill: "url(#stripes)" })), "failed") : null,
    run.critical.size ? h("span", null, swatch(s("rect", { class: "critical-mark", x: 1, y: 7, width: 14, height: 3 })), "critical path") : null,
    reused ? h("span", null, icon("reused"), `${count(reused, "reused node")} took no slot`) : null,
    h("span", { class: "hint", id: "timeline-keys" }, h("kbd", null, "Ctrl"), " + wheel zooms, drag moves, ", h("kbd", null, "←"), h("kbd", null, "→"), " go from node to node"));

  layoutRows();
  new ResizeObserver(() => { if (!onPaper) draw(); }).observe(box);
  return {
    element: h("section", { id: "timeline", class: "timeline", "aria-labelledby": "timeline-title" },
      h("div", { class: "head" }, title, h("span", { class: "muted" }, `${count(worked.length, "node")} ran in ${seconds(run.run.duration ?? run.end)}`),
        h("div", { class: "tools" }, hasLanes ? h("div", { class: "group", role: "group", "aria-label": "Rows" }, views) : null,
          h("div", { class: "group", role: "group", "aria-label": "Zoom" }, button("−", "Zoom out", () => zoom(1 / 1.6)), button("+", "Zoom in", () => zoom(1.6)), button("all", "Show the whole run", () => { axis.fit(); draw(); })))),
      h("div", { class: "card" }, box, legend)),
    select(id) {
      selected = id;
      const node = run.byId.get(id);
      if (node && ran(node)) move(worked.indexOf(node)); else draw();
    },
    print() { onPaper = true; axis.fit(); draw(); return () => { onPaper = false; draw(); }; },
  };
}

