// Tables, texts, pictures and checks of a node, as elements.

function valueText(value, most = 200) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

function valueCell(value) {
  if (value === null || value === undefined) return h("td", { class: "null" }, "null");
  if (typeof value === "number") return h("td", { class: "num" }, String(value));
  const text = valueText(value, 2000);
  return h("td", { title: text.length > 40 ? text : null }, bdi(valueText(value)));
}

function rowsTable(columns, rows, label) {
  return h(
    "div",
    { class: "wide", tabindex: 0, role: "region", "aria-label": label },
    h(
      "table",
      { class: "rows" },
      columns.length
        ? h(
            "thead",
            null,
            h(
              "tr",
              null,
              columns.map((name, index) =>
                h(
                  "th",
                  {
                    scope: "col",
                    class: rows.length && typeof Object.values(rows[0])[index] === "number" ? "num" : null,
                  },
                  bdi(valueText(name, 60)),
                ),
              ),
            ),
          )
        : null,
      h(
        "tbody",
        null,
        rows.map((row) => h("tr", null, (Array.isArray(row) ? row : Object.values(row)).map(valueCell))),
      ),
    ),
  );
}

function columnsTable(output) {
  const schema = output.schema ?? [];
  if (!schema.length) return null;
  const nulls = output.nulls ?? [];
  const row = ([name, type], index) =>
    h(
      "tr",
      null,
      h("th", { scope: "row", title: name.length > 40 ? name : null }, bdi(valueText(name, 40))),
      h("td", { class: "muted" }, valueText(type, 80)),
      nulls.length ? h("td", { class: "num" }, number(nulls[index])) : null,
    );
  const most = 60,
    body = h("tbody", null, schema.slice(0, most).map(row));
  const more =
    schema.length <= most
      ? null
      : h(
          "button",
          {
            type: "button",
            class: "quiet",
            onclick: (event) => {
              append(body, schema.slice(most).map((column, index) => row(column, most + index)));
              event.target.remove();
            },
          },
          `… ${count(schema.length - most, "more column")}`,
        );
  return [
    h(
      "div",
      { class: "wide", style: { marginTop: "0" } },
      h(
        "table",
        { class: "columns" },
        h(
          "thead",
          null,
          h(
            "tr",
            null,
            ["column", "type"].map((text) => h("th", { scope: "col" }, text)),
            nulls.length ? h("th", { scope: "col", class: "num" }, "nulls") : null,
          ),
        ),
        body,
      ),
    ),
    more,
    output.more_columns ? h("p", { class: "muted" }, `… and ${count(output.more_columns, "more column")}`) : null,
  ];
}

// The policy of a frame does not keep `<link rel="preconnect">` from opening a connection: nothing of that kind stays.
// What is left is parsed again until there is none: taking out may put together what was apart.
function inert(html) {
  for (let turn = 0; turn < 5; turn += 1) {
    const page = new DOMParser().parseFromString(html, "text/html");
    const found = page.querySelectorAll(
      "link, base, meta, script, iframe, frame, object, embed, template, portal, fencedframe",
    );
    if (!found.length) return html;
    for (const element of found) element.remove();
    html = page.documentElement.outerHTML;
  }
  return null;
}

// Pictures are data, HTML runs in a frame without scripts and without network, all else is text.
function mediaOf(media, name) {
  if (!media || !known(media.data)) return null;
  if (media.data === "") return h("p", { class: "muted" }, "It is empty.");
  const type = String(media.type ?? "text/plain");
  const cut = media.cut ? h("p", { class: "muted" }, "Only its beginning is in this page.") : null;
  if (/^image\/(png|jpeg|gif|webp|svg\+xml|avif|bmp)$/.test(type)) {
    return h(
      "div",
      { class: "media" },
      h("img", { src: `data:${type};base64,${media.data}`, alt: `The output ${name}`, loading: "lazy" }),
      cut,
    );
  }
  const markup = type === "text/html" ? inert(media.data) : null;
  if (markup !== null) {
    const policy = `<!doctype html><meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:">`;
    const frame = h("iframe", {
      sandbox: "",
      title: `The output ${name}`,
      loading: "lazy",
      referrerpolicy: "no-referrer",
    });
    frame.srcdoc = policy + markup;
    return h("div", { class: "media" }, frame, cut);
  }
  return h("div", { class: "media" }, h("pre", { class: "block", tabindex: 0 }, long(media.data)), cut);
}

// Why the content of an output is not here.
function noteOf(output) {
  if (output.gone || output.not_shown) return output.gone ?? output.not_shown;
  if (output.unchecked) return "Its file is large, and was not checked for damage.";
  if (output.first_rows?.length || output.media || output.files?.length) return "";
  if (output.kept === false) return "Its file is not kept any more.";
  const isEmpty = isTable(output) && output.rows === 0;
  return output.kept && !isEmpty ? `Its content has no room here: nfrun open ${output.id} shows it.` : "";
}

function outputOf(output) {
  const columns = (output.schema ?? []).map(([name]) => name);
  const rows = output.first_rows ?? [];
  const table = rows.length ? rowsTable(columns, rows, `First rows of ${output.id}`) : null;
  const files = output.files?.length
    ? h(
        "pre",
        { class: "block" },
        output.files.join("\n"),
        output.more_files ? `\n… and ${count(output.more_files, "more file")}` : "",
      )
    : null;
  const note = noteOf(output) ? h("p", { class: "muted" }, noteOf(output)) : null;
  return h(
    "div",
    { class: "output" },
    h(
      "header",
      null,
      h("b", null, bdi(output.id)),
      h(
        "span",
        { class: "muted" },
        [output.type && output.type !== "table" ? output.type : "", amount(output)].filter(Boolean).join(", "),
      ),
      output.shown ? h("span", { class: "muted" }, "output of the pipeline") : null,
      output.digest ? h("code", { title: output.digest }, output.digest.replace(/^.*:/, "").slice(0, 12)) : null,
    ),
    note,
    files,
    mediaOf(output.media, output.id),
    columnsTable(output),
    table
      ? [
          h(
            "h4",
            { style: { marginTop: "12px" } },
            rows.length < (output.rows ?? 0) ? `the first ${rows.length} of ${count(output.rows, "row")}` : "all rows",
          ),
          table,
        ]
      : null,
  );
}

function checkOf(check) {
  const status = check.ok ? "ok" : check.severity === "error" || !check.severity ? "failed" : "cancelled";
  const rows = check.failing_rows ?? [];
  const names = rows.length && !Array.isArray(rows[0]) ? Object.keys(rows[0]) : [];
  return h(
    "div",
    null,
    h(
      "div",
      { class: "check" },
      icon(status),
      h(
        "div",
        null,
        h("b", null, bdi(check.name)),
        h(
          "span",
          { class: "muted" },
          check.ok ? " holds" : check.severity && check.severity !== "error" ? ` fails (${check.severity})` : " fails",
          check.failing ? `, ${count(check.failing, "failing row")}` : "",
        ),
        check.text && !check.ok ? h("div", null, long(check.text, 2000)) : null,
      ),
    ),
    rows.length ? rowsTable(names, rows, `Failing rows of ${check.name}`) : null,
  );
}

// Lines of a text with their numbers; `here` is the number of the line that is meant.
function codeLines(lines, here) {
  return h(
    "div",
    { class: "code", role: "presentation" },
    lines.map(([line, text]) => [
      h("span", { class: line === here ? "n here" : "n" }, known(line) ? String(line) : ""),
      h("span", { class: line === here ? "here" : null }, long(text, 4000)),
    ]),
  );
}
