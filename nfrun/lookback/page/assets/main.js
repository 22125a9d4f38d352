// Puts the parts together: links to nodes, theme, keys, printing.

const run = await readDocument()
  .then(indexed)
  .catch((error) => {
    byId("parts").append(
      h("p", { class: "note error-text" }, `This browser cannot read the data of the page: ${error.message}`),
    );
    throw error;
  });
const parts = byId("parts"),
  pane = byId("pane");
let returnTo = null;

function hashNode() {
  const text = /^#node=(.*)$/s.exec(location.hash)?.[1];
  if (text === undefined) return null;
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
function open(id) {
  if (hashNode() === id) showNode();
  else location.hash = hashOf(id);
}
function close() {
  try {
    history.replaceState(null, "", location.pathname + location.search);
  } catch {
    location.hash = "";
  } // a frame may refuse it
  showNode();
  (returnTo?.isConnected ? returnTo : document.querySelector("#nodes tbody tr[tabindex='0']"))?.focus({
    preventScroll: true,
  });
}

const drawn = [];
const table = new NodeTable(run, open);

function showNode() {
  const id = hashNode(),
    node = id === null ? null : run.byId.get(id);
  if (id !== null && !node) tell(`There is no node ${id} in this run`);
  if (node && pane.hidden) returnTo = document.activeElement === document.body ? null : document.activeElement;
  pane.hidden = !node;
  document.body.classList.toggle("has-pane", Boolean(node));
  byId("main").inert = Boolean(node) && matchMedia("(max-width: 720px)").matches; // the pane covers it
  pane.replaceChildren();
  if (node) {
    append(pane, nodePane(node, run, close));
    pane.setAttribute("aria-label", `Node ${clean(node.id)}`);
    pane.scrollTop = 0;
    pane.focus({ preventScroll: true });
  }
  for (const each of drawn) each.select?.(node?.id ?? null);
}

// Summary: what the template left to the script.
for (const time of document.querySelectorAll("time")) {
  time.title = time.textContent;
  time.textContent = localTime(Number(time.getAttribute("datetime")));
}
{
  // The names in the sentence about the critical path lead to the nodes.
  const sentence = byId("critical"),
    text = (run.run.critical_path?.text ?? "").replaceAll(" -> ", " → ");
  let at = 0;
  const pieces = (run.run.critical_path?.nodes ?? []).flatMap((id) => {
    // A name stands alone between arrows, or before a colon: "a" is not that of "waited".
    const name = new RegExp(`(?<=^|\\s)${id.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}(?=\\s→|[:.]|$)`, "g");
    name.lastIndex = at;
    const found = run.byId.has(id) ? name.exec(text) : null;
    if (!found) return [];
    const before = text.slice(at, found.index);
    at = name.lastIndex;
    return [before, nodeLink(id)];
  });
  if (sentence && pieces.length) {
    sentence.replaceChildren();
    append(sentence, [pieces, text.slice(at)]);
  }
  const counts = STATUSES.map((status) => [status, run.nodes.filter((node) => node.status === status).length]).filter(
    ([, found]) => found,
  );
  if (counts.length > 1)
    byId("counts").append(
      h(
        "div",
        {
          class: "counts",
          role: "img",
          "aria-label": counts.map(([status, found]) => `${number(found)} ${wordOf(status)}`).join(", "),
        },
        counts.map(([status, found]) =>
          h("span", {
            class: `text-${status}`,
            style: { flexGrow: String(found) },
            title: `${number(found)} ${wordOf(status)}`,
          }),
        ),
      ),
    );
}

byId("all-failures")?.addEventListener("click", () => table.only("failed"));

const add = (made) => {
  if (made) {
    drawn.push(made);
    parts.append(made.element);
  }
};
if (run.nodes.length) {
  add(timeline(run, { open }));
  add(graph(run, { open }));
  add(table);
  add(change(run));
} else parts.append(h("p", { class: "note" }, "No node of this run is recorded."));
parts.setAttribute("aria-busy", "false");
parts.append(
  h(
    "footer",
    null,
    `Made by nfrun from what run ${run.run.number ?? ""} recorded. `,
    h(
      "span",
      { class: "no-print" },
      "Keys: ",
      h("kbd", null, "/"),
      " filters nodes, ",
      h("kbd", null, "Esc"),
      " closes a node.",
    ),
  ),
);

const TITLES = {
  failures: "Failures",
  timeline: "Timeline",
  graph: "Graph",
  nodes: "Nodes",
  change: "Change",
};
for (const [id, title] of Object.entries(TITLES)) {
  if (!byId(id)) continue;
  byId("nav").append(
    h(
      "a",
      {
        href: `#${id}`,
        onclick: (event) => {
          event.preventDefault();
          byId(id).scrollIntoView({ block: "start" });
        },
      },
      title,
    ),
  );
}

// Light and dark: as the system has it, until the switch is used.
const theme = byId("theme");
const THEMES = { "": ["◐", "as the system"], light: ["☀", "light"], dark: ["☾", "dark"] };
function remember(value) {
  try {
    if (value === undefined) return localStorage.getItem("nfrun-theme") ?? "";
    localStorage.setItem("nfrun-theme", value);
  } catch {
    /* a file may have no storage */
  }
  return "";
}
function setTheme(name) {
  document.documentElement.style.colorScheme = name;
  theme.dataset.theme = name;
  theme.textContent = THEMES[name][0];
  theme.title = `Colours: ${THEMES[name][1]}`;
  theme.setAttribute("aria-label", theme.title);
}
theme.hidden = false;
theme.addEventListener("click", () => {
  const names = Object.keys(THEMES),
    next = names[(names.indexOf(theme.dataset.theme) + 1) % names.length];
  setTheme(next);
  remember(next);
});
setTheme(remember() in THEMES ? remember() : "");

addEventListener("hashchange", showNode);
addEventListener("keydown", (event) => {
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    table.filter();
  } else if (event.key === "Escape" && !pane.hidden) close();
});

// On paper is what the page has, at the width of paper.
let after = [];
addEventListener("beforeprint", () => {
  after = drawn.map((each) => each.print?.()).filter(Boolean);
});
addEventListener("afterprint", () => {
  for (const each of after) each();
  after = [];
});
showNode();
document.documentElement.dataset.ready = "true";
performance.mark("drawn");
