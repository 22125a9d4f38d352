// Elements are made here and nowhere else: texts become text nodes, so nothing of a run is read as markup.

const SVG = "http://www.w3.org/2000/svg";
// What would hide text or change its direction is shown as an escape, as in a terminal.
const CONTROL =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const MOST_CHARACTERS = 20000;

const escaped = (character) => {
  const code = character.charCodeAt(0);
  return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
};

function clean(text) {
  return String(text).replace(CONTROL, escaped);
}

function append(parent, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(parent, child);
    else parent.append(child instanceof Node ? child : document.createTextNode(clean(child)));
  }
  return parent;
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "style") Object.assign(element.style, value);
    else if (key.startsWith("data-"))
      element.setAttribute(key, value); // read again, and not shown
    else element.setAttribute(key, value === true ? "" : clean(value));
  }
  return append(element, children);
}

// h("td", {class: "num"}, 12): an element of HTML. `style` is an object, "on…" are listeners.
const h = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
const s = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);
const byId = (id) => document.getElementById(id);
const bdi = (text) => h("bdi", null, text);

// A long text is cut, with a button that shows the rest: a line may have 10 MB.
function long(text, most = MOST_CHARACTERS) {
  const whole = String(text);
  if (whole.length <= most) return [whole];
  const part = h("span", null, whole.slice(0, most));
  const more = h(
    "button",
    {
      type: "button",
      class: "quiet no-print",
      onclick: () => {
        part.textContent = clean(whole);
        more.remove();
      },
    },
    `… ${(whole.length - most).toLocaleString("en-US")} more characters`,
  );
  return [part, more];
}

const ICONS = {
  ok: "M3 8.5 6.3 11.8 13 4.5",
  reused: "M12.6 6.2A5 5 0 1 0 13 9M13 3v3.4H9.6",
  failed: "M4 4l8 8M12 4l-8 8",
  tolerated: "M8 3v6M8 12.4v.2",
  skipped: "M3 8h9M9 5l3 3-3 3",
  cancelled: "M4.5 4.5h7v7h-7z",
  disabled: "M8 2.8a5.2 5.2 0 1 0 .01 0M4.4 11.6l7.2-7.2",
  not_selected: "M5 8h6",
  running: "M5.5 4v8l6-4z",
  not_ended: "M5 4h6L5 12h6z",
};

function icon(status) {
  return s(
    "svg",
    { class: `icon text-${status}`, viewBox: "0 0 16 16", "aria-hidden": "true" },
    s("path", { d: ICONS[status] ?? ICONS.not_selected }),
  );
}

function tell(text) {
  byId("told").textContent = clean(text);
}

// Text cut to a width in pixels, in the middle: ends of names tell cells apart.
const measure = (() => {
  const context = document.createElement("canvas").getContext("2d");
  const family = getComputedStyle(document.documentElement).fontFamily;
  return (text, font) => {
    context.font = `${font} ${family}`;
    return context.measureText(text).width;
  };
})();

function fitText(text, width, font = "12px") {
  let shown = clean(text);
  if (shown.length > 400) shown = `${shown.slice(0, 200)}…${shown.slice(-150)}`;
  if (measure(shown, font) <= width) return shown;
  let low = 0,
    high = shown.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (measure(shortened(shown, middle), font) <= width) low = middle;
    else high = middle - 1;
  }
  return low > 0 ? shortened(shown, low) : "";
}

const shortened = (text, length) =>
  `${text.slice(0, Math.ceil(length * 0.6))}…${length > 2 ? text.slice(text.length - Math.floor(length * 0.4)) : ""}`;

const tip = {
  show(event, ...children) {
    const box = byId("tip");
    box.replaceChildren();
    append(box, children);
    box.hidden = false;
    const { innerWidth, innerHeight } = window;
    const { offsetWidth, offsetHeight } = box;
    box.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - offsetWidth - 8))}px`;
    const below = event.clientY + 18,
      above = Math.max(4, event.clientY - offsetHeight - 12);
    box.style.top = `${below + offsetHeight > innerHeight ? above : below}px`;
  },
  hide() {
    byId("tip").hidden = true;
  },
};

// Buttons that zoom a drawing: out, in, and `fit`, which shows all of it.
function zoomButtons(zoom, what, fit) {
  const button = (text, label, onclick) =>
    h("button", { type: "button", "aria-label": label, title: label, onclick }, text);
  return h(
    "div",
    { class: "group", role: "group", "aria-label": "Zoom" },
    button("−", "Zoom out", () => zoom(1 / 1.6)),
    button("+", "Zoom in", () => zoom(1.6)),
    button("all", `Show ${what}`, fit),
  );
}
