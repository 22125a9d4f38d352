// Places boxes in layers, as Sugiyama does: layers by the longest path, order by barycentres, long edges through gaps.

const BOX = { width: 168, height: 44, gap: 13, between: 104 };
const MOST_ROUTED = 250,
  MOST_IN_COLUMN = 26;

// What is drawn: nodes, or boxes in whose place their fold stands, with the edges between them summed up.
function foldedGraph(run, opened) {
  const members = new Map();
  for (const node of run.nodes) for (const fold of foldsOf(node)) members.set(fold, (members.get(fold) ?? 0) + 1);
  const boxes = new Map(),
    boxOf = new Map();
  for (const node of run.nodes) {
    const folds = foldsOf(node).filter((fold) => members.get(fold) > 1),
      closed = folds.find((fold) => !opened.has(fold));
    const key = closed ?? `node ${node.id}`;
    if (!boxes.has(key))
      boxes.set(key, {
        key,
        fold: closed ?? null,
        within: folds.filter((fold) => opened.has(fold)),
        nodes: [],
        index: boxes.size,
        into: [],
        from: [],
      });
    boxes.get(key).nodes.push(node);
    boxOf.set(node.id, boxes.get(key));
  }
  const edges = new Map();
  const path = run.run.critical_path?.nodes ?? [],
    next = new Map(path.slice(1).map((id, index) => [path[index], id]));
  for (const link of run.links) {
    const from = boxOf.get(link.from),
      to = boxOf.get(link.to);
    if (from === to) continue;
    const name = `${from.index} ${to.index} ${from.fold ? "" : link.output}`;
    let edge = edges.get(name);
    if (!edge)
      edges.set(
        name,
        (edge = { from, to, kind: link.kind, output: link.output, tables: new Map(), count: 0, critical: false }),
      );
    edge.count += 1;
    if (link.kind !== "order") edge.kind = "data";
    if (link.table) edge.tables.set(link.table.id, link.table);
    if (next.get(link.from) === link.to) edge.critical = true;
  }
  for (const edge of edges.values()) {
    edge.from.from.push(edge);
    edge.to.into.push(edge);
  }
  return {
    boxes: [...boxes.values()],
    edges: [...edges.values()],
    boxOf,
    folds: [...members].filter(([, many]) => many > 1).map(([fold]) => fold),
  };
}

// The layer of each box: one more than the last before it. Folding may make a circle: an edge back is left out.
function rank(boxes) {
  const left = new Map(boxes.map((box) => [box, new Set(box.into.map((edge) => edge.from)).size]));
  const stage = (box) => box.nodes.reduce((least, node) => Math.min(least, node.stage ?? Infinity), Infinity);
  const waiting = boxes.filter((box) => !left.get(box)),
    rest = [...boxes].sort((a, b) => stage(a) - stage(b) || a.index - b.index);
  for (const box of boxes) {
    box.layer = 0;
    box.ranked = false;
  }
  for (let at = 0, next = 0, done = 0; done < boxes.length;) {
    if (at === waiting.length) {
      while (rest[next].ranked || waiting.includes(rest[next])) next += 1;
      waiting.push(rest[next]);
    }
    const box = waiting[at++];
    if (box.ranked) continue;
    box.ranked = true;
    done += 1;
    for (const to of new Set(box.from.map((edge) => edge.to))) {
      if (to.ranked) continue;
      to.layer = Math.max(to.layer, box.layer + 1);
      left.set(to, left.get(to) - 1);
      if (left.get(to) === 0) waiting.push(to);
    }
  }
}

// Nodes that run when all others have ended are in columns of their own, behind these.
const runsLast = (box) => box.nodes.every((node) => node.section);
function lastColumns(boxes) {
  const behind = boxes.reduce((most, box) => (runsLast(box) ? most : Math.max(most, box.layer + 1)), 0);
  for (const box of boxes.filter(runsLast).sort((a, b) => a.layer - b.layer)) {
    const before = box.into.map((edge) => edge.from).filter(runsLast);
    box.layer = before.length ? Math.max(...before.map((other) => other.layer + 1), behind) : behind;
  }
}

function columnsOf(boxes, edges) {
  const columns = Array.from({ length: boxes.reduce((most, box) => Math.max(most, box.layer), 0) + 1 }, () => []);
  const item = new Map(
    boxes.map((box) => [box, { box, height: BOX.height, before: [], after: [], column: box.layer }]),
  );
  for (const box of boxes) columns[box.layer].push(item.get(box));
  const spans = edges.reduce((sum, edge) => sum + Math.max(0, edge.to.layer - edge.from.layer - 1), 0);
  const routed = boxes.length <= MOST_ROUTED && spans <= 2000;
  const connect = (a, b) => {
    a.after.push(b);
    b.before.push(a);
  };
  for (const edge of edges) {
    edge.through = [];
    let last = item.get(edge.from);
    for (let layer = edge.from.layer + 1; routed && layer < edge.to.layer; layer += 1) {
      const gap = { box: null, height: 4, before: [], after: [], column: layer };
      columns[layer].push(gap);
      edge.through.push(gap);
      connect(last, gap);
      last = gap;
    }
    if (edge.to.layer > edge.from.layer) connect(last, item.get(edge.to));
  }
  return columns;
}

function order(columns) {
  const number = (column) =>
    column.forEach((item, index) => {
      item.place = (index + 0.5) / column.length;
    });
  columns.forEach(number);
  const sweep = (from, to, side) => {
    for (let at = from; at !== to; at += Math.sign(to - from)) {
      const column = columns[at];
      for (const item of column)
        item.wish = item[side].length
          ? item[side].reduce((sum, other) => sum + other.place, 0) / item[side].length
          : item.place;
      column.sort((a, b) => a.wish - b.wish);
      number(column);
    }
  };
  for (let turn = 0; turn < 4; turn += 1) {
    sweep(0, columns.length, "before");
    sweep(columns.length - 1, -1, "after");
  }
  sweep(0, columns.length, "before");
}

// Heights: each item near the middle of its neighbours, none above another. Forward and backward passes are averaged.
function settle(columns) {
  for (const column of columns) {
    let y = 0;
    for (const item of column) {
      item.y = y + item.height / 2;
      y += item.height + BOX.gap;
    }
    const middle = y / 2;
    for (const item of column) item.y -= middle;
  }
  const apart = (a, b) => (a.height + b.height) / 2 + BOX.gap;
  const pull = (column, sides) => {
    const wishes = column.map((item) => {
      const near = sides.flatMap((side) => item[side]);
      return near.length ? near.reduce((sum, other) => sum + other.y, 0) / near.length : item.y;
    });
    const down = [],
      up = [];
    column.forEach((item, at) => {
      down[at] = at ? Math.max(wishes[at], down[at - 1] + apart(column[at - 1], item)) : wishes[at];
    });
    for (let at = column.length - 1; at >= 0; at -= 1)
      up[at] =
        at < column.length - 1 ? Math.min(wishes[at], up[at + 1] - apart(column[at], column[at + 1])) : wishes[at];
    column.forEach((item, at) => {
      item.y = (down[at] + up[at]) / 2;
    });
  };
  for (let turn = 0; turn < 6; turn += 1) {
    columns.forEach((column) => pull(column, ["before"]));
    [...columns].reverse().forEach((column) => pull(column, ["after"]));
  }
  columns.forEach((column) => pull(column, ["before", "after"]));
}

function layout(graph) {
  const { boxes, edges } = graph;
  rank(boxes);
  lastColumns(boxes);
  const columns = columnsOf(boxes, edges);
  order(columns);
  const wraps = boxes.length > MOST_ROUTED;
  if (!wraps) settle(columns);
  let x = 0;
  const heads = [];
  columns.forEach((column, index) => {
    const inOne = wraps ? Math.max(MOST_IN_COLUMN, Math.ceil(Math.sqrt(column.length * 2))) : Infinity;
    heads.push([x, column.some((item) => item.box && runsLast(item.box)) ? "at the end" : `stage ${index + 1}`]);
    column.forEach((item, at) => {
      item.x = x + (wraps ? Math.floor(at / inOne) * (BOX.width + 16) : 0);
      if (wraps) item.y = ((at % inOne) - (Math.min(inOne, column.length) - 1) / 2) * (BOX.height + BOX.gap);
      if (item.box) {
        item.box.x = item.x;
        item.box.y = item.y - BOX.height / 2;
        item.box.column = index;
      }
    });
    x += (wraps ? Math.ceil(column.length / inOne) * (BOX.width + 16) - 16 : BOX.width) + BOX.between;
  });
  const top = boxes.reduce((least, box) => Math.min(least, box.y), Infinity);
  for (const box of boxes) box.y -= top;
  for (const edge of edges) for (const gap of edge.through) gap.y -= top;
  return {
    ...graph,
    heads,
    width: x - BOX.between,
    height: boxes.reduce((most, box) => Math.max(most, box.y + BOX.height), 0),
  };
}

const curve = (x1, y1, x2, y2) => {
  const bend = Math.max(20, Math.abs(x2 - x1) / 2);
  return `C${(x1 + bend).toFixed(1)} ${y1.toFixed(1)} ${(x2 - bend).toFixed(1)} ${y2.toFixed(1)} ${x2.toFixed(1)} ${y2.toFixed(1)}`;
};

function edgePath(edge) {
  let x = edge.from.x + BOX.width,
    y = edge.from.y + BOX.height / 2 + (edge.port ?? 0);
  let path = `M${x.toFixed(1)} ${y.toFixed(1)}`;
  for (const gap of edge.through) {
    path += `${curve(x, y, gap.x, gap.y)}H${(gap.x + BOX.width).toFixed(1)}`;
    [x, y] = [gap.x + BOX.width, gap.y];
  }
  return path + curve(x, y, edge.to.x, edge.to.y + BOX.height / 2);
}
