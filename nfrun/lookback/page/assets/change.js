// What changed since the run before.

const MOST_CHANGES = 40;

function change(run) {
  const found = run.change;
  if (!found) return null;
  const by = found.seconds,
    against =
      typeof found.against === "object" && found.against ? (found.against.number ?? found.against.id) : found.against;
  const value = (shown) =>
    typeof shown === "number" ? seconds(shown) : shown === null || shown === undefined ? "" : valueText(shown, 200);
  const status = (text) => (text in WORDS ? [icon(text), " ", wordOf(text)] : value(text));
  const row = ({ id, what, before, after, seconds: times, outputs }) => {
    const [from, to] = times ?? [before, after],
      isTime = typeof from === "number" && typeof to === "number";
    return h(
      "tr",
      null,
      h("th", { scope: "row" }, run.byId.has(id) ? nodeLink(id) : bdi(id)),
      h(
        "td",
        null,
        long(what ?? "", 400),
        (outputs ?? []).slice(0, 6).map((text) => h("div", { class: "muted" }, valueText(text, 300))),
      ),
      h("td", { class: "num muted" }, isTime ? seconds(from) : status(from)),
      h("td", { class: isTime ? `num ${to > from ? "up" : "down"}` : "num" }, isTime ? seconds(to) : status(to)),
    );
  };
  const pairs = (what, found) =>
    Object.entries(found ?? {}).map(([name, [before, after]]) =>
      h(
        "tr",
        null,
        h("th", { scope: "row" }, bdi(name)),
        h("td", null, what),
        h("td", { class: "num muted" }, value(before)),
        h("td", { class: "num" }, value(after)),
      ),
    );
  const rows = found.nodes ?? [],
    others = [pairs("parameter", found.params), pairs("version", found.versions)].flat();
  const body = h("tbody", null, others, rows.slice(0, MOST_CHANGES).map(row));
  const more =
    rows.length <= MOST_CHANGES
      ? null
      : h(
          "button",
          {
            type: "button",
            class: "quiet no-print",
            onclick: (event) => {
              append(body, rows.slice(MOST_CHANGES).map(row));
              event.target.remove();
            },
          },
          `… ${count(rows.length - MOST_CHANGES, "more node")}`,
        );
  return {
    element: h(
      "section",
      { id: "change", "aria-labelledby": "change-title" },
      h(
        "div",
        { class: "head" },
        h("h2", { id: "change-title" }, `Change since run ${against}`),
        known(by)
          ? h(
              "span",
              { class: by > 0 ? "up" : "down" },
              by === 0 ? "as long as before" : `${seconds(Math.abs(by))} ${by > 0 ? "longer" : "shorter"}`,
            )
          : null,
      ),
      h(
        "div",
        { class: "card pad" },
        rows.length || others.length
          ? [
              h(
                "div",
                { class: "wide", style: { marginTop: "0" } },
                h(
                  "table",
                  { class: "list" },
                  h(
                    "thead",
                    null,
                    h(
                      "tr",
                      null,
                      ["node", "what changed", "before", "now"].map((text, index) =>
                        h("th", { scope: "col", class: index > 1 ? "num" : null }, text),
                      ),
                    ),
                  ),
                  body,
                ),
              ),
              more,
              found.more_nodes ? h("p", { class: "muted" }, `… and ${count(found.more_nodes, "more node")}`) : null,
              found.same
                ? h(
                    "p",
                    { class: "muted", style: { marginTop: "8px" } },
                    `${count(found.same, "node")} with the same outputs as before.`,
                  )
                : null,
            ]
          : h("p", { class: "muted" }, "The same nodes, with the same outputs."),
      ),
    ),
  };
}
