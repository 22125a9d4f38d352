// The bars of the timeline. `view` is a Timeline. Narrow bars have no phases; the narrowest that touch become one.

const ALONE = 1.5,
  DETAILED = 4; // pixels from which a bar stands alone, and has its phases
const LEAST = { work: 1.5, tried: 1.5 }; // pixels of a phase, however short; of others 0.4

function barTip(node, run) {
  const phases = (node.phases ?? []).filter(([, begin, end]) => end > begin);
  return [
    h("b", null, bdi(node.id)),
    h(
      "div",
      null,
      icon(node.status),
      ` ${wordOf(node.status)}, ${seconds(node.duration)}`,
      run.critical.has(node.id) ? ", on the critical path" : "",
    ),
    phases.length
      ? h(
          "table",
          null,
          h(
            "tbody",
            null,
            phases.map(([name, begin, end]) =>
              h(
                "tr",
                null,
                h("td", { class: "muted" }, PHASES[name] ?? name),
                h("td", { class: "num" }, seconds(end - begin)),
              ),
            ),
          ),
        )
      : null,
    node.failure ? h("div", { class: "text-failed" }, valueText(errorText(node.failure), 200)) : null,
  ];
}

const isMarked = (view, node) => node.id === view.selected || node.id === view.active;
const inWindow =
  (view) =>
  ([, begin, end]) =>
    end > view.axis.from && begin < view.axis.to;
const rectangle = (x, y, width, height, more) =>
  s("rect", { x: x.toFixed(2), y, width: width.toFixed(2), height, ...more });

function criticalMark(view, node, x, width, y, tall) {
  if (!view.run.critical.has(node.id)) return null;
  return rectangle(x, y + tall + 1, width, Math.min(2.5, tall / 3), {
    class: "critical-mark",
    "pointer-events": "none",
  });
}

// What a node did, as [name, begin, end]: the phases of its last attempt, and the attempts before it.
function piecesOf(view, node, row, isWide) {
  const showsQueue = (view.byNode && !row.lanes) || isMarked(view, node);
  const [begin, end] = busyOf(node).at(-1);
  const phases = (node.phases ?? []).filter(([name, from, to]) => to > from && (showsQueue || name !== "queued"));
  const seen = phases.filter(inWindow(view));
  const waits = begin - node.started > 1e-6 && !seen.some(([name]) => name === "queued");
  const last =
    seen.length && isWide ? [...(waits ? [["queued", node.started, begin]] : []), ...seen] : [["work", begin, end]];
  const tries = attemptsBefore(node).map(({ started, duration }) => ["tried", started, started + (duration ?? 0)]);
  return [...last, ...tries.filter(inWindow(view))];
}

function pieceOf(view, node, [name, begin, end], y, tall) {
  const from = view.x(begin),
    to = view.x(end),
    isThin = name === "queued";
  const place = isThin ? [y + tall / 2 - 1.5, 3] : [y, tall];
  const kind = isFailed(node) && name === "work" ? node.status : name;
  const width = Math.max(LEAST[name] ?? 0.4, to - from);
  return rectangle(from, place[0], width, place[1], { class: `bar-${kind}`, rx: isThin ? 0 : Math.min(2, tall / 4) });
}

// The name in a bar that is wide enough, or the time behind the bar of a row of its own.
function barText(view, node, row, start, stop, y) {
  const middle = y + row.tall / 2 + 4;
  if (!view.byNode) {
    const text = stop - start > 34 ? fitText(node.id, stop - start - 10, "11px") : "";
    return text.length > 2 ? s("text", { class: "inside", x: (start + 5).toFixed(2), y: middle }, text) : null;
  }
  const room = view.axis.left + view.axis.width - stop - 6;
  if (!row.node || row.tall <= 10 || room <= 54) return null;
  const style = isFailed(node) ? `small fill-${node.status}` : "small";
  const text = `${isFailed(node) ? "✕ " : ""}${seconds(node.duration)}`;
  return s("text", { class: style, x: (stop + 6).toFixed(2), y: middle, "pointer-events": "none" }, text);
}

function barOf(view, node, row, y) {
  const { tall } = row,
    start = view.x(node.started),
    stop = view.x(endOf(node)),
    width = Math.max(1.5, stop - start);
  const work = (node.phases ?? []).find(([name]) => name !== "queued")?.[1];
  const last = view.x(Math.max(busyOf(node).at(-1)[0], work ?? 0));
  const between = rectangle(start, y + tall / 2 - 1, width, 2, { class: "bar-queued" }); // from phase to phase
  const pieces = piecesOf(view, node, row, width > 1.5).map((piece) => pieceOf(view, node, piece, y, tall));
  const stripes = isFailed(node)
    ? rectangle(last, y, Math.max(1.5, stop - last), tall, { fill: "url(#stripes)", "pointer-events": "none" })
    : null;
  const frame = isMarked(view, node)
    ? rectangle(start - 2, y - 2, width + 4, tall + 4, { class: "chosen", rx: 3 })
    : null;
  const onPath = view.run.critical.has(node.id) ? ", on the critical path" : "";
  const label = `${node.id}: ${wordOf(node.status)}, ${seconds(node.duration)}, from ${seconds(node.started)}${onPath}`;
  return s(
    "g",
    {
      class: "node-bar",
      id: view.idOf(node),
      role: "option",
      "aria-selected": String(node.id === view.selected),
      "data-node": node.id,
      "aria-label": label,
    },
    between,
    pieces,
    stripes,
    criticalMark(view, node, start, width, y, tall),
    barText(view, node, row, start, stop, y),
    frame,
  );
}

// Bars of a row in sight; the narrowest that touch are drawn as one, which cannot be clicked.
function barsOf(view, row) {
  const found = [],
    merged = new Map();
  for (const node of row.nodes) {
    if (endOf(node) < view.axis.from || startOf(node) > view.axis.to) continue;
    const lane = row.lanes ? row.lanes.get(node.id) % MOST_LANES : 0;
    const y = row.top + (row.lanes && row.shown > 1 ? 4 + lane * CELL : (row.height - row.tall) / 2 - 1);
    const from = view.x(node.started),
      to = view.x(endOf(node)),
      last = merged.get(lane);
    if (to - from >= DETAILED || isFailed(node) || isMarked(view, node)) found.push(barOf(view, node, row, y));
    else if (to - from >= ALONE) {
      found.push(rectangle(from, y, to - from, row.tall, { class: "bar-work node-bar", "data-node": node.id }));
      found.push(criticalMark(view, node, from, to - from, y, row.tall));
    } else if (last && from - last.to < 0.8) last.to = Math.max(last.to, to);
    else {
      merged.set(lane, { from, to, y });
      found.push(merged.get(lane));
    }
  }
  const drawn = (each) =>
    each instanceof Node
      ? each
      : rectangle(each.from, each.y, Math.max(1, each.to - each.from), row.tall, { class: "bar-work" });
  return found.filter(Boolean).map(drawn);
}

function timelineLegend(run, worked, reused) {
  const swatch = (...children) => s("svg", { width: 16, height: 12, "aria-hidden": "true" }, children);
  const bar = (style, more) => s("rect", { class: style, x: 1, y: 1, width: 14, height: 10, rx: 2, ...more });
  const entry = (drawing, text) => h("span", null, drawing, text);
  const used = new Set(worked.flatMap((node) => (node.phases ?? []).map(([name]) => name)));
  const thin = { y: 5, height: 3, rx: 0 };
  return h(
    "div",
    { class: "legend" },
    Object.entries(PHASES)
      .filter(([name]) => used.has(name) || name === "work")
      .map(([name, text]) => entry(swatch(bar(`bar-${name}`, name === "queued" ? thin : {})), text)),
    worked.some((node) => attemptsBefore(node).length) ? entry(swatch(bar("bar-tried")), "attempt that failed") : null,
    ["failed", "tolerated"]
      .filter((status) => worked.some((node) => node.status === status))
      .map((status) => entry(swatch(bar(`bar-${status}`), bar(null, { fill: "url(#stripes)" })), wordOf(status))),
    run.critical.size ? entry(swatch(bar("critical-mark", { y: 7, height: 3, rx: 0 })), "critical path") : null,
    reused ? entry(icon("reused"), `${count(reused, "reused node")} took no slot`) : null,
    h(
      "span",
      { class: "hint", id: "timeline-keys" },
      h("kbd", null, "Ctrl"),
      " + wheel zooms, drag moves, ",
      h("kbd", null, "←"),
      h("kbd", null, "→"),
      " go from node to node",
    ),
  );
}
