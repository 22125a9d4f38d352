// Small drawings of one column: a histogram, or the most frequent values.

const TIME = /^\d{4}-\d\d-\d\d[T ]/;

// The edges of bins as texts: numbers with as many digits as it takes to tell them apart, at least 4; times in full.
function binTexts(edges) {
  const rounded = (digits) => (edge) =>
    Number.isSafeInteger(edge) ? number(edge) : String(Number(edge.toPrecision(digits)));
  const time = (edge) => edge.replace("T", " ").replace(/(\.0+)?(Z|[+]00:00)?$/, "");
  const texts = (digits) =>
    edges.map((edge) =>
      typeof edge === "number" ? rounded(digits)(edge) : TIME.test(edge) ? time(edge) : String(edge),
    );
  for (let digits = 4; digits < 17; digits += 1) {
    const found = texts(digits);
    if (new Set(found).size >= new Set(edges).size) return found;
  }
  return texts(17);
}

// Of two times the day, if they are of different days; of anything else all.
function shortEnds(first, last) {
  if (!TIME.test(first) || !TIME.test(last)) return [first, last];
  const length = [10, 19].find((most) => first.slice(0, most) !== last.slice(0, most));
  return [first.slice(0, length), last.slice(0, length)];
}

function histogram({ edges, counts }) {
  const width = 150,
    height = 30,
    step = width / Math.max(1, counts.length),
    most = Math.max(1, ...counts);
  const texts = binTexts(edges),
    [first, last] = [texts[0], texts[texts.length - 1]];
  const bars = counts.map((found, index) => {
    const tall = found ? Math.max(1, (found / most) * height) : 0;
    const range = `${texts[index]} to ${texts[index + 1]}: ${number(found)}`;
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
      { class: "muted ends" },
      shortEnds(first, last).map((text) => h("span", null, text)),
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
