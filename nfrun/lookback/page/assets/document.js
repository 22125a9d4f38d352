// Reads the document in the page, and finds what belongs together: outputs, readers, folded families of nodes.

async function readDocument() {
  const text = byId("document").textContent;
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// Where a name such as "split.large" is no output that is known, the node is the longest beginning that is one.
function nodeOfOutput(output, producers, nodes) {
  if (producers.has(output)) return producers.get(output);
  for (let text = output; text; text = text.slice(0, Math.max(0, text.lastIndexOf("."))))
    if (nodes.has(text)) return text;
  return null;
}

// A node that has its slot waits until its thread or process begins: that time has no phase in the document.
function startPhase(node) {
  const first = node.phases?.find(([name]) => name !== "queued");
  if (!first || !known(node.started) || attemptsBefore(node).length || first[1] - node.started < 1e-6) return;
  const queued = node.phases.find(([name]) => name === "queued");
  if (queued) queued[2] = first[1];
  else node.phases.unshift(["queued", node.started, first[1]]);
}

// The attempts of a node that failed before its last one, as far as their times are known.
const attemptsBefore = (node) =>
  Array.isArray(node.attempts) ? node.attempts.slice(0, -1).filter((attempt) => known(attempt.started)) : [];
// When a node was at work or waited in its slot: from attempt to attempt, it has none.
const busyOf = (node) => {
  const before = attemptsBefore(node),
    last = before.length ? node.attempts[node.attempts.length - 1] : null;
  return [
    ...before.map(({ started, duration }) => [started, started + (duration ?? 0)]),
    [last?.started ?? node.started, endOf(node)],
  ];
};

function indexed(page) {
  const nodes = new Map(page.nodes.map((node) => [node.id, node]));
  // The document counts stages from 0, people from 1.
  const first = page.nodes.reduce((least, node) => Math.min(least, node.stage ?? Infinity), Infinity);
  for (const node of page.nodes) if (known(node.stage)) node.stage += 1 - first;
  for (const node of page.nodes) {
    if (node.status === "failed" && node.tolerated) node.status = "tolerated"; // it looks like none that fails the run
    startPhase(node);
  }
  const producers = new Map(),
    outputs = new Map();
  for (const node of page.nodes) {
    for (const output of node.outputs ?? []) {
      producers.set(output.id, node.id);
      outputs.set(output.id, output);
    }
  }
  const before = new Map(),
    after = new Map();
  const edges = [];
  const add = (map, key, value) => {
    const found = map.get(key);
    if (found) found.push(value);
    else map.set(key, [value]);
  };
  for (const [output, to, kind] of page.edges ?? []) {
    const from = nodeOfOutput(output, producers, nodes);
    if (from === null || !nodes.has(to) || from === to) continue;
    const edge = { from, to, kind, output, table: outputs.get(output) };
    edges.push(edge);
    add(before, to, edge);
    add(after, from, edge);
  }
  const place = new Map(page.nodes.map((node, index) => [node.id, index]));
  const critical = new Set(
    page.run.critical_path?.nodes ?? page.nodes.filter((node) => node.critical).map((node) => node.id),
  );
  const end = page.nodes.reduce((most, node) => Math.max(most, endOf(node)), page.run.duration ?? 0);
  const busy = page.nodes.reduce((sum, node) => sum + (ran(node) ? (node.duration ?? 0) : 0), 0);
  return { ...page, byId: nodes, place, links: edges, before, after, critical, end: end || 1, busy };
}

// `reused` nodes have times too, but did not work.
const ran = (node) => node.status !== "reused" && known(node.started) && known(endOf(node) || null);
const endOf = (node) => node.ended ?? (known(node.started) ? node.started + (node.duration ?? 0) : 0);
const startOf = (node) => (node.phases?.length ? Math.min(...node.phases.map((phase) => phase[1])) : node.started);
const isFailed = (node) => node.status === "failed" || node.status === "tolerated";

// The name of a cell without that of its matrix: "fit@DE/euros" -> "DE/euros".
const cellName = (node) =>
  node.of && node.id.startsWith(node.of) ? node.id.slice(node.of.length).replace(/^@/, "") || node.id : node.id;

// Names of the folds in which a node is, the outermost first: sub-pipelines, then its matrix.
function foldsOf(node) {
  const folds = [];
  const parts = node.group ? node.group.split("/") : [];
  parts.forEach((_, index) => folds.push(`group ${parts.slice(0, index + 1).join("/")}`));
  if (node.of) folds.push(`cells ${node.of}`);
  return folds;
}
