// What the run would take with other numbers of slots, which nodes hold it up, and what changed since the run before.

function whatIf(run) {
  const found = run.what_if;
  if (!found || !(found.slots?.length || found.faster?.length)) return null;
  const guesses = found.slots ?? [],
    longest = Math.max(1e-9, run.run.duration ?? 0, ...guesses.map((guess) => guess.seconds));
  const track = (value, asRun) =>
    h(
      "div",
      { class: asRun ? "track as-run" : "track", "aria-hidden": "true" },
      h("i", { style: { width: `${(100 * value) / longest}%` } }),
      known(found.best) ? h("b", { style: { left: `${(100 * found.best) / longest}%` } }) : null,
    );
  const row = (name, value, asRun) => [
    h("span", { class: asRun ? "" : "muted" }, name),
    track(value, asRun),
    h("span", { class: "num" }, seconds(value)),
  ];
  const guess = h(
    "div",
    null,
    h("h3", { style: { marginBottom: "8px" } }, "With other numbers of slots"),
    h(
      "div",
      { class: "guess" },
      known(run.run.duration) ? row("this run", run.run.duration, true) : null,
      guesses.map(({ slots, seconds: value }) => row(count(slots, "slot"), value, false)),
    ),
    known(found.best)
      ? h(
          "p",
          { class: "muted", style: { marginTop: "9px", fontSize: "12px" } },
          h("span", { style: { color: "var(--ok)", fontWeight: "700" } }, "│ "),
          found.text
            ? "the best possible"
            : `${seconds(found.best)} is the least, with any number of slots: the critical path.`,
        )
      : null,
    found.text ? h("p", { class: "muted", style: { marginTop: "6px", fontSize: "12px" } }, found.text) : null,
    found.limit ? h("p", { class: "limit" }, found.limit) : null,
    found.how
      ? h(
          "details",
          { class: "how" },
          h("summary", null, "How this is predicted"),
          h("p", { class: "muted" }, found.how),
        )
      : null,
  );
  const faster = (found.faster ?? []).slice(0, 12);
  const nodes = faster.length
    ? h(
        "div",
        null,
        h("h3", { style: { marginBottom: "8px" } }, "Nodes that hold the run up"),
        h(
          "table",
          { class: "list" },
          h(
            "tbody",
            null,
            faster.map(({ node, saves, text }) =>
              h(
                "tr",
                null,
                h("th", { scope: "row" }, run.byId.has(node) ? nodeLink(node) : bdi(node)),
                h("td", { class: "num down" }, known(saves) ? `−${seconds(saves)}` : ""),
                h("td", { class: "muted" }, text ?? ""),
              ),
            ),
          ),
        ),
      )
    : null;
  return {
    element: h(
      "section",
      { id: "what-if", "aria-labelledby": "what-if-title" },
      h("div", { class: "head" }, h("h2", { id: "what-if-title" }, "What if")),
      h("div", { class: "card pad" }, nodes ? h("div", { class: "two" }, guess, nodes) : guess),
    ),
  };
}

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
  const row = ({ id, what, before, after, seconds: times, outputs, errors }) => {
    const [from, to] = times ?? [before, after],
      isTime = typeof from === "number" && typeof to === "number";
    const more = [...(outputs ?? []), ...(errors?.[1] && errors[0] !== errors[1] ? [errors[1]] : [])];
    return h(
      "tr",
      null,
      h("th", { scope: "row" }, run.byId.has(id) ? nodeLink(id) : bdi(id)),
      h(
        "td",
        null,
        long(what ?? "", 400),
        more.slice(0, 6).map((text) => h("div", { class: "muted" }, valueText(text, 300))),
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
