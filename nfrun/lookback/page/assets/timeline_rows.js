// The rows of the timeline: a node or the cells of a matrix, or a slot of the run or of a worker.

const LANE = 24,
  CELL = 9,
  MOST_LANES = 8; // pixels, and lanes in the row of a matrix

function timelineRows(run, byNode, opened) {
  const worked = run.nodes.filter(ran).sort((a, b) => a.started - b.started || endOf(a) - endOf(b));
  if (!byNode) {
    const lanes = new Map();
    for (const node of worked) {
      const key = node.worker ? `${node.worker} ${node.lane ?? ""}` : (node.lane ?? "?");
      if (!lanes.has(key)) lanes.set(key, { worker: node.worker, lane: node.lane, nodes: [] });
      lanes.get(key).nodes.push(node);
    }
    const rows = [...lanes.values()].sort(
      (a, b) => (a.worker ?? "").localeCompare(b.worker ?? "") || (a.lane ?? 0) - (b.lane ?? 0),
    );
    return rows.map((row, index) => ({
      label: row.worker ? `${row.worker}` : `slot ${index + 1}`,
      nodes: row.nodes,
      height: LANE,
      tall: 16,
    }));
  }
  const families = new Map();
  for (const node of worked) {
    const key = node.of ? `cells ${node.of}` : `node ${node.id}`;
    if (families.has(key)) families.get(key).push(node);
    else families.set(key, [node]);
  }
  return [...families].flatMap(([key, nodes]) => {
    if (nodes.length === 1) return [{ label: nodes[0].id, node: nodes[0], nodes, height: LANE, tall: 14 }];
    const isOpen = opened.has(key),
      { lanes, count } = packed(nodes),
      shown = Math.min(count, MOST_LANES);
    const folded = {
      label: `${isOpen ? "▾" : "▸"} ${nodes[0].of}`,
      more: `${number(nodes.length)} cells`,
      key,
      nodes,
      lanes,
      shown,
      height: Math.max(LANE, shown * CELL + 8),
      tall: shown === 1 ? 14 : CELL - 2,
    };
    return [
      folded,
      ...(isOpen
        ? nodes.map((node) => ({ label: cellName(node), node, nodes: [node], height: LANE, tall: 14, child: true }))
        : []),
    ];
  });
}

// The lowest free lane of each node, in order of start: cells that overlap. Lanes of slots come with the document.
function packed(nodes) {
  const ends = [],
    lanes = new Map();
  for (const node of nodes) {
    const begin = node.started;
    let lane = ends.findIndex((end) => end <= begin + 1e-9);
    if (lane < 0) lane = ends.length;
    ends[lane] = endOf(node);
    lanes.set(node.id, lane);
  }
  return { lanes, count: ends.length };
}

// How many nodes work at once: steps [time, number].
function concurrency(nodes) {
  const changes = nodes
    .flatMap(busyOf)
    .flatMap(([begin, end]) => [
      [begin, 1],
      [end, -1],
    ])
    .sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const steps = [];
  let working = 0;
  for (const [time, by] of changes) {
    working += by;
    if (steps.length && steps[steps.length - 1][0] === time) steps[steps.length - 1][1] = working;
    else steps.push([time, working]);
  }
  return steps;
}
