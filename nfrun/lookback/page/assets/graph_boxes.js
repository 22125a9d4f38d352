// What is drawn of the graph: boxes and edges from near, and from afar one path for all boxes of a status.

const MOST_EDGES = 4000,
  MOST_FAR_EDGES = 30000,
  MOST_TOLD = 600; // from near, from afar, with words under the pointer

// What stands below the name. With a `width` in pixels, parts are left out until it fits.
function subtitle(view, box, width = Infinity) {
  const what = box.fold ? count(box.nodes.length, box.fold.startsWith("cells ") ? "cell" : "node") : box.nodes[0].kind;
  const [took, share] = box.ran ? [seconds(box.took), percent(box.took / view.total)] : [wordOf(box.status)];
  const texts = [[what, took, share], box.fold ? [what, share] : [took, share], [took]];
  const found = texts.map((parts) => parts.filter(Boolean).join(" · "));
  return found.find((text) => measure(text, "11px") <= width) ?? fitText(found[2], width, "11px");
}

function boxLabel(view, box) {
  const more = [box.critical ? ", on the critical path" : "", box.fold ? ", folded" : ""].join("");
  return `${box.name}: ${wordOf(box.status)}, ${subtitle(view, box)}, ${view.plan.heads[box.column][1]}${more}`;
}

function boxElement(view, box) {
  const { width, height } = BOX,
    isCurrent = view.isChosen(box);
  const styles = ["box", box.status, box.critical ? "critical" : "", isCurrent ? "current" : ""].filter(Boolean);
  const mark = s(
    "g",
    { class: `icon text-${box.status}`, transform: "translate(9,8) scale(0.9)" },
    s("path", { d: ICONS[box.status] ?? ICONS.not_selected }),
  );
  const place = {
    transform: `translate(${box.x.toFixed(1)},${box.y.toFixed(1)})`,
    id: `box-${box.index}`,
    "data-box": box.index,
  };
  const told = { role: "option", "aria-selected": String(isCurrent), "aria-label": boxLabel(view, box) };
  const share = Math.max(2, (width - 2) * (box.took / view.longest));
  return s(
    "g",
    { class: styles.join(" "), ...place, ...told },
    box.fold ? s("rect", { class: "behind", x: 5, y: -5, width, height, rx: 6 }) : null,
    s("rect", { class: "body", width, height, rx: 6 }),
    mark,
    s("text", { x: 29, y: 19 }, fitText(box.name, width - (box.fold ? 50 : 38), "550 12px")),
    s("text", { class: "small", x: 29, y: 34 }, subtitle(view, box, width - 36)),
    box.fold ? s("text", { class: "small", x: width - 16, y: 19 }, "▸") : null,
    box.ran ? s("rect", { class: "share", x: 1, y: height - 4, width: share.toFixed(1), height: 3, rx: 1.5 }) : null,
  );
}

// The rows and bytes of all tables of an edge; null where none is known.
function sumsOf(edge) {
  const tables = [...edge.tables.values()];
  const sum = (found, name) =>
    found.reduce((all, table) => (known(table[name]) ? (all ?? 0) + table[name] : all), null);
  return { rows: sum(tables.filter(isTable), "rows"), bytes: sum(tables, "bytes"), many: tables.length };
}

function edgeElement(view, edge) {
  const { bytes } = sumsOf(edge),
    width = bytes ? Math.min(5, 1 + Math.max(0, Math.log10(bytes / 1e4)) * 0.8) : 1.2;
  const styles = [
    "edge",
    edge.kind === "order" ? "order" : "data",
    edge.critical ? "critical" : "",
    view.isNear(edge) ? "near" : "",
  ];
  return s("path", { class: styles.filter(Boolean).join(" "), d: edgePath(edge), "stroke-width": width.toFixed(1) });
}

// Rows above the line and bytes below, once for each output.
function edgeTexts(box) {
  const outputs = new Map(box.from.filter((edge) => edge.kind !== "order").map((edge) => [edge.output, edge]));
  if (outputs.size > 2) return [];
  return [...outputs.values()].flatMap((edge, index) => {
    const { rows, bytes } = sumsOf(edge),
      x = box.x + BOX.width + 7,
      y = box.y + BOX.height / 2 + edge.port;
    const text = (shown, below) =>
      shown ? s("text", { class: "edge-text", x, y: y + (below ? 13 : -5) }, shown) : null;
    const first = known(rows) ? count(rows, "row") : size(bytes);
    return outputs.size === 1
      ? [text(first, false), text(known(rows) ? size(bytes) : "", true)]
      : [text(first, index > 0)];
  });
}

function drawNear(view) {
  const { plan } = view,
    heights = (edge) => [edge.from.y, edge.to.y, ...edge.through.map((gap) => gap.y)];
  const spans = (edge) => [
    Math.min(edge.from.x, edge.to.x),
    Math.min(...heights(edge)),
    Math.max(edge.from.x, edge.to.x) + BOX.width,
    Math.max(...heights(edge)) + BOX.height,
  ];
  const boxes = plan.boxes.filter((box) => view.inSight(box.x, box.y, box.x + BOX.width, box.y + BOX.height));
  const edges = plan.edges.filter((edge) => view.inSight(...spans(edge))).slice(0, MOST_EDGES);
  const wide = { fill: "none", stroke: "transparent", strokeWidth: "9px" };
  const hit = (edge) =>
    s("path", { class: "hit", d: edgePath(edge), style: wide, "data-edge": plan.edges.indexOf(edge) });
  return [
    edges.filter((edge) => !view.isNear(edge)).map((edge) => edgeElement(view, edge)),
    edges.filter((edge) => view.isNear(edge)).map((edge) => edgeElement(view, edge)),
    plan.edges.length <= MOST_TOLD ? edges.map(hit) : null,
    plan.boxes.length <= LABELLED ? boxes.map(edgeTexts) : null,
    boxes.map((box) => boxElement(view, box)),
  ];
}

const outline = (boxes) =>
  boxes.map(({ x, y }) => `M${x.toFixed(0)} ${y.toFixed(0)}h${BOX.width}v${BOX.height}h${-BOX.width}z`).join("");

// These paths are the same wherever the graph is seen from.
function farPaths(plan) {
  const middle = (box) => (box.y + BOX.height / 2).toFixed(0);
  const lines = (edges) =>
    edges
      .map(({ from, to }) => `M${(from.x + BOX.width).toFixed(0)} ${middle(from)}L${to.x.toFixed(0)} ${middle(to)}`)
      .join("");
  const statuses = [...new Set(plan.boxes.map((box) => box.status))];
  return [
    s("path", { class: "edge", d: lines(plan.edges.slice(0, MOST_FAR_EDGES)), style: { strokeOpacity: "0.35" } }),
    s("path", {
      class: "edge critical",
      d: lines(plan.edges.filter((edge) => edge.critical)),
      style: { strokeWidth: "6px" },
    }),
    statuses.map((status) =>
      s("path", { class: `far fill-${status}`, d: outline(plan.boxes.filter((box) => box.status === status)) }),
    ),
    s("path", {
      d: outline(plan.boxes.filter((box) => box.critical)),
      style: { fill: "none", stroke: "var(--ink)", strokeWidth: "10px" },
    }),
  ];
}

function drawFar(view) {
  view.plan.far ??= farPaths(view.plan);
  const chosen = view.plan.boxes.find((box) => view.isChosen(box));
  const style = { fill: "none", stroke: "var(--accent)", strokeWidth: `${3 / view.k}px` };
  const frame = (box) =>
    s("rect", { x: box.x - 20, y: box.y - 20, width: BOX.width + 40, height: BOX.height + 40, rx: 20, style });
  return [view.plan.far, chosen ? frame(chosen) : null];
}

// Above the columns, as large from afar as from near, and as many as have room.
function stageNames(view) {
  const high = 11 / Math.min(1, view.k * 1.2);
  let last = -Infinity;
  return view.plan.heads.map(([x, stage]) => {
    if ((x - last) * view.k < 62) return null;
    last = x;
    return s("text", { class: "small", x: x + 2, y: -1.3 * high, style: { fontSize: `${high}px` } }, stage);
  });
}
