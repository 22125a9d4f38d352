// The pane with all that is known of one node.

function fields(pairs) {
  const shown = pairs.filter(([, value]) => known(value) && value !== "" && value !== false);
  return shown.length
    ? h(
        "dl",
        { class: "fields" },
        shown.map(([name, value]) => [h("dt", null, name), h("dd", null, value)]),
      )
    : null;
}

// `because` is the node that failed, or a text.
function becauseText(node, run) {
  if (!node.because || !run.byId.has(node.because)) return node.because ?? "";
  return node.tolerated ? `an input is absent because of '${node.because}'` : `'${node.because}' failed`;
}
const hashOf = (id) => `#node=${encodeURIComponent(id.toWellFormed())}`;
// Why a node ran, or why it did not.
function whyOf(node, run) {
  return becauseText(node, run) || node.reason || (node.status === "not_ended" ? "it had not ended" : "");
}
const nodeLink = (id, text = id) => h("a", { href: hashOf(id) }, bdi(text));

function part(title, ...children) {
  const found = children.flat().filter((child) => child !== null && child !== undefined && child !== false);
  return found.length ? h("section", null, h("h3", null, title), found) : null;
}

// The attempts that failed, and the waits until the next one.
function phasesBefore(node) {
  const before = attemptsBefore(node);
  return before.flatMap(({ started, duration }, index) => {
    const failed = started + (duration ?? 0),
      next = (before[index + 1] ?? node.attempts[node.attempts.length - 1]).started ?? failed;
    return [
      ["failed", started, failed],
      ["backoff", failed, next],
    ];
  });
}

function phasesOf(node) {
  const before = phasesBefore(node),
    last = (node.phases ?? []).filter(([name]) => !before.length || name !== "queued");
  const phases = [...before, ...last].filter(([, begin, end]) => end > begin);
  if (!phases.length) return null;
  const total = phases.reduce((sum, [, begin, end]) => sum + end - begin, 0);
  const words = phases.map(([name, begin, end]) => `${PHASES[name] ?? name} ${seconds(end - begin)}`);
  return [
    h(
      "div",
      { class: "phases", role: "img", "aria-label": words.join(", ") },
      phases.map(([name, begin, end]) =>
        h("span", { class: `bg-${name}`, style: { flexGrow: String((1000 * (end - begin)) / total) } }),
      ),
    ),
    h(
      "div",
      { class: "phase-words" },
      phases.map(([name], index) => h("span", null, h("i", { class: `bg-${name}` }), words[index])),
    ),
  ];
}

function errorOf(node) {
  const error = node.failure;
  if (!error) return null;
  return part(
    "Error",
    h(
      "div",
      { class: "block failed" },
      h(
        "p",
        { class: "message" },
        error.type && error.type !== error.message ? [h("b", null, error.type), error.message ? ": " : ""] : null,
        long(error.message || (error.type ? "" : "error")),
      ),
    ),
    error.cause && error.cause !== "node" ? h("p", { class: "muted" }, `cause: ${error.cause}`) : null,
    error.rows ? h("p", { class: "muted", style: { marginTop: "6px" } }, error.rows) : null,
    error.sample ? h("pre", { class: "block", style: { marginTop: "4px" }, tabindex: 0 }, long(error.sample)) : null,
    error.frames?.length
      ? h(
          "div",
          { class: "block", style: { marginTop: "8px" }, tabindex: 0 },
          error.frames.map((frame) =>
            h(
              "div",
              { class: "frame" },
              h("div", { class: "muted mono" }, `${frame.file}:${frame.line} in ${frame.function}`),
              frame.source ? h("pre", null, "  ", long(frame.source, 4000)) : null,
            ),
          ),
        )
      : null,
    error.details
      ? h(
          "pre",
          { class: "block", style: { marginTop: "8px" }, tabindex: 0 },
          long(typeof error.details === "string" ? error.details : JSON.stringify(error.details, null, 2)),
        )
      : null,
    error.inputs?.length
      ? [
          h("p", { class: "muted", style: { margin: "8px 0 4px" } }, "It read"),
          h("pre", { class: "block", tabindex: 0 }, long(error.inputs.join("\n"))),
        ]
      : null,
    error.place ? h("p", { class: "muted", style: { marginTop: "6px" } }, error.place) : null,
  );
}

function attemptsOf(node) {
  const attempts = node.attempts ?? [];
  if (!Array.isArray(attempts) || attempts.length < 2) return null;
  return part(
    "Attempts",
    h(
      "table",
      { class: "list" },
      h(
        "tbody",
        null,
        attempts.map((attempt, index) =>
          h(
            "tr",
            null,
            h("td", null, `${index + 1}`),
            h("td", { class: "num" }, seconds(attempt.duration)),
            h("td", { class: "num muted" }, known(attempt.started) ? `at ${seconds(attempt.started)}` : ""),
            h(
              "td",
              null,
              attempt.failure
                ? long(
                    typeof attempt.failure === "string"
                      ? attempt.failure
                      : (attempt.failure.message ?? JSON.stringify(attempt.failure)),
                    1000,
                  )
                : "ended well",
            ),
          ),
        ),
      ),
    ),
  );
}

function inputsOf(node, run) {
  const rows = (node.inputs ?? []).map((input) => {
    const edge = (run.before.get(node.id) ?? []).find((found) => found.output === input.output);
    return h(
      "tr",
      null,
      h("th", { scope: "row" }, bdi(input.name)),
      h("td", null, edge ? nodeLink(edge.from, input.output) : input.output ? bdi(input.output) : ""),
      h("td", { class: "num muted" }, amount(input)),
    );
  });
  return rows.length ? part("Inputs", h("table", { class: "list" }, h("tbody", null, rows))) : null;
}

function linksOf(node, run) {
  const ids = (edges, end) => [...new Set((edges ?? []).map((edge) => edge[end]))];
  const list = (names) =>
    names.length
      ? h(
          "div",
          { class: "links" },
          names.slice(0, 40).map((id) => nodeLink(id)),
          names.length > 40 ? h("span", { class: "muted" }, `… and ${number(names.length - 40)} more`) : null,
        )
      : null;
  return fields([
    ["reads from", list(ids(run.before.get(node.id), "from"))],
    ["is read by", list(ids(run.after.get(node.id), "to"))],
  ]);
}

function logOf(node) {
  const log = node.log;
  if (!log?.tail?.length) return null;
  return part(
    "Log",
    h(
      "pre",
      { class: "block", tabindex: 0 },
      log.more ? h("span", { class: "muted" }, "… lines before these\n") : null,
      log.tail.map((line) => [long(line, 4000), "\n"]),
    ),
    log.path ? h("p", { class: "muted", style: { marginTop: "4px" } }, h("code", null, log.path)) : null,
  );
}

function definitionOf(node) {
  const { place, yaml } = node.definition ?? {};
  if (!yaml) return place ? part("Definition", h("p", { class: "muted" }, place)) : null;
  const first = Number(/:(\d+)(?::\d+)?$/.exec(place ?? "")?.[1]) || null;
  const lines = yaml
    .replace(/\n$/, "")
    .split("\n")
    .map((text, index) => [first === null ? null : first + index, text]);
  return part(
    "Definition",
    place ? h("p", { class: "muted", style: { marginBottom: "4px" } }, place) : null,
    h("div", { class: "block", tabindex: 0 }, codeLines(lines, null)),
  );
}

function mapOf(node) {
  const { rows, calls, reused, failed, busy } = node.map ?? {};
  if (!known(rows)) return null;
  const more = [reused ? `${number(reused)} reused` : "", failed ? `${number(failed)} failed` : ""]
    .filter(Boolean)
    .join(", ");
  const together = busy ? `, which took ${seconds(busy)} together` : "";
  return fields([
    ["calls", `${count(calls ?? 0, "call")} for ${count(rows, "row")}${more ? ` (${more})` : ""}${together}`],
  ]);
}

function nodePane(node, run, close) {
  const attempts = Array.isArray(node.attempts) ? node.attempts.length : node.attempts;
  const worked = ran(node) && known(node.duration);
  const share = worked && run.run.duration ? ` (${percent(node.duration / run.run.duration)} of the run)` : "";
  const cell =
    node.matrix && Object.keys(node.matrix).length
      ? Object.entries(node.matrix)
          .map(([axis, value]) => `${axis} = ${valueText(value, 80)}`)
          .join(", ")
      : "";
  return [
    h(
      "div",
      { class: "pane-head" },
      h(
        "h2",
        { id: "pane-title" },
        bdi(node.id),
        h(
          "div",
          { class: "status" },
          icon(node.status),
          " ",
          h("span", { class: `text-${node.status}` }, wordOf(node.status)),
          h(
            "span",
            { class: "muted" },
            node.kind ? ` · ${node.kind}` : "",
            worked ? ` · ${seconds(node.duration)}` : "",
            run.critical.has(node.id) ? [" · critical path", h("i", { class: "mark-critical" })] : "",
          ),
        ),
      ),
      h(
        "button",
        { type: "button", class: "quiet", onclick: close, title: "Close (Escape)", "aria-label": "Close" },
        "✕",
      ),
    ),
    errorOf(node),
    part(
      "Run",
      phasesOf(node),
      fields([
        [
          node.status === "ok" || isFailed(node) ? "why it ran" : "why",
          whyOf(node, run) ? long(whyOf(node, run), 2000) : "",
        ],
        ["cell", cell],
        ["matrix", node.of],
        ["sub-pipeline", node.group],
        ["stage", node.stage],
        [
          "reused from",
          node.home && node.status === "reused"
            ? `run ${node.home}${known(node.took_then) ? `, where it took ${seconds(node.took_then)}` : ""}`
            : "",
        ],
        ["section", node.section],
        ["started", known(node.started) ? `${seconds(node.started)} after the run began` : ""],
        ["took", worked ? `${seconds(node.duration)}${share}` : ""],
        ["CPU", known(node.cpu) ? seconds(node.cpu) : ""],
        ["waited for the GIL", node.gil_wait ? seconds(node.gil_wait) : ""],
        ["memory", node.memory ? size(node.memory) : ""],
        ["worker", node.worker],
        ["attempts", attempts > 1 ? number(attempts) : ""],
      ]),
      mapOf(node),
    ),
    attemptsOf(node),
    node.checks?.length ? part("Checks", node.checks.map(checkOf)) : null,
    inputsOf(node, run),
    part("Neighbours", linksOf(node, run)),
    node.outputs?.length ? part(node.outputs.length > 1 ? "Outputs" : "Output", node.outputs.map(outputOf)) : null,
    logOf(node),
    definitionOf(node),
  ];
}
