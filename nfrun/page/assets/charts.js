// Small drawings of one column: a histogram, or the most frequent values.

function edgeText(edge) {
  if (typeof edge !== "number")
    return String(edge)
      .replace("T", " ")
      .replace(/(\.0+)?(Z|[+]00:00)?$/, "");
  return Number.isInteger(edge) && Math.abs(edge) < 1e15 ? number(edge) : String(Number(edge.toPrecision(4)));
}

function histogram({ edges, counts }) {
  const width = 150,
    height = 30,
    step = width / Math.max(1, counts.length),
    most = Math.max(1, ...counts);
  const [first, last] = [edges[0], edges[edges.length - 1]].map(edgeText);
  const days = /^\d{4}-\d\d-\d\d /,
    short = days.test(first) && first.slice(0, 10) !== last.slice(0, 10) ? 10 : 19; // of times, the day
  const bars = counts.map((found, index) => {
    const tall = found ? Math.max(1, (found / most) * height) : 0;
    const range = `${edgeText(edges[index])} to ${edgeText(edges[index + 1])}: ${number(found)}`;
    return s(
      "g",
      null,
      s(
        "rect",
        { x: (index * step).toFixed(2), y: 0, width: step.toFixed(2), height, style: { opacity: "0" } },
        s("title", null, range),
      ),
      s("rect", {
        x: (index * step).toFixed(2),
        y: (height - tall).toFixed(2),
        width: Math.max(0.5, step - 1).toFixed(2),
        height: tall.toFixed(2),
        "pointer-events": "none",
      }),
    );
  });
  return h(
    "div",
    { class: "histogram" },
    s(
      "svg",
      {
        viewBox: `0 0 ${width} ${height + 1}`,
        height: height + 1,
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": `histogram from ${first} to ${last}`,
      },
      bars,
      s("line", { x1: 0, x2: width, y1: height + 0.5, y2: height + 0.5 }),
    ),
    h(
      "div",
      { class: "muted", style: { display: "flex", justifyContent: "space-between", fontSize: "11px", gap: "8px" } },
      h("span", { title: first }, first.slice(0, short)),
      h("span", { title: last }, last.slice(0, short)),
    ),
  );
}

function topValues(top, rows) {
  const most = Math.max(1, ...top.map(([, found]) => found));
  return h(
    "div",
    { class: "top" },
    top
      .slice(0, 5)
      .map(([value, found]) => [
        h(
          "span",
          { title: typeof value === "string" ? value.slice(0, 500) : null },
          h("i", { class: "fill", style: { width: `${(100 * found) / most}%` } }),
          bdi(valueText(value, 80)),
        ),
        h("em", null, rows ? `${number(found)} (${percent(found / rows)})` : number(found)),
      ]),
  );
}
