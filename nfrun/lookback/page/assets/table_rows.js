// The rows of the table of nodes: one for a node, and one for the cells of a matrix.

function rowOfNode(node, index, run) {
  const counts = (node.outputs ?? [])
    .filter((output) => isTable(output) && known(output.rows))
    .map((output) => output.rows);
  const worked = ran(node);
  return {
    node,
    index,
    id: node.id,
    status: node.status,
    kind: node.kind ?? "",
    stage: node.stage ?? null,
    started: worked ? node.started : null,
    took: worked ? (node.duration ?? null) : null,
    memory: node.memory ?? null,
    rows: counts.length ? counts.reduce((sum, rows) => sum + rows) : null,
    why: valueText(node.failure ? errorText(node.failure) : whyOf(node, run), 300),
  };
}

function rowOfFamily(name, cells) {
  const values = (key) => cells.map((cell) => cell[key]).filter(known);
  const sum = (key) => (values(key).length ? values(key).reduce((all, value) => all + value) : null);
  const first = (key, pick) => (values(key).length ? values(key).reduce((a, b) => pick(a, b)) : null);
  const counts = STATUSES.map((status) => [status, cells.filter((cell) => cell.status === status).length]).filter(
    ([, found]) => found,
  );
  return {
    family: name,
    cells,
    index: cells[0].index,
    id: name,
    status: worstOf(cells.map((cell) => cell.status)),
    kind: cells[0].kind,
    stage: cells[0].stage,
    started: first("started", Math.min),
    took: sum("took"),
    memory: first("memory", Math.max),
    rows: sum("rows"),
    why: counts.map(([status, found]) => `${number(found)} ${wordOf(status)}`).join(", "),
  };
}

// The cells of each matrix as one row, if there are several.
function foldedRows(rows) {
  const families = new Map();
  for (const row of rows.filter((each) => each.node.of)) {
    if (families.has(row.node.of)) families.get(row.node.of).push(row);
    else families.set(row.node.of, [row]);
  }
  const folded = [...families].flatMap(([name, cells]) => (cells.length > 1 ? [rowOfFamily(name, cells)] : cells));
  return [...rows.filter((row) => !row.node.of), ...folded];
}

// As at first: what failed, then in the order of the run. What is not known comes last, whichever way is sorted.
function rowOrder(key, isDown) {
  const failed = (row) => (row.status === "failed" ? 0 : 1),
    started = (row) => row.started ?? Infinity;
  const byRun = (a, b) =>
    failed(a) - failed(b) || (started(a) === started(b) ? 0 : started(a) - started(b)) || a.index - b.index;
  if (key === null) return byRun;
  const value = (row) => (key === "status" ? rankOf(row.status) : row[key]);
  return (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (!known(x) || !known(y)) return Number(!known(x)) - Number(!known(y)) || a.index - b.index;
    const order = typeof x === "number" ? x - y : x < y ? -1 : x > y ? 1 : 0;
    return (isDown ? -order : order) || a.index - b.index;
  };
}

// Whether a row has all words of the filter.
function rowHas(row, words) {
  row.text ??= `${row.id} ${row.kind} ${wordOf(row.status)} ${row.why} ${row.node.group ?? ""}`.toLowerCase();
  return words.every((word) => row.text.includes(word));
}
