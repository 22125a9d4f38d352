// The graph of nodes: boxes in layers. A small graph is drawn whole, of a large one what is in sight; from afar boxes
// of one status are one path, so that 10,000 nodes can be looked at.

const FEW = 150,
  LABELLED = 70,
  MOST_UNFOLDED = 60,
  FOLDED_FROM = 5,
  FAR = 0.42,
  LEGIBLE = 0.5,
  ROOM = 34;
const GRAPH_LABEL =
  "Graph of the nodes. Right goes to a reader, left to what a node reads, up and down within a stage, Enter shows a node or unfolds, Backspace folds, plus and minus zoom, 0 shows all.";

class Graph {
  constructor(run, open) {
    Object.assign(this, {
      run,
      open,
      k: 1,
      x: 0,
      y: 0,
      selected: null,
      active: null,
      drawn: "",
      onPaper: false,
      waits: false,
      laid: 0,
    });
    this.opened = this.openedAtFirst();
    this.total = Math.max(1e-9, run.busy);
    this.world = s("g", null);
    this.svg = s("svg", { role: "presentation" }, this.world);
    this.box = h("div", { class: "view", tabindex: 0, role: "listbox", "aria-label": GRAPH_LABEL }, this.svg);
    this.foldAll = h("button", {
      type: "button",
      title: "Fold or unfold matrices and sub-pipelines",
      onclick: () => this.turnFolds(),
    });
    this.build();
    graphKeys(this);
    graphPointer(this);
    new ResizeObserver(() => this.resized()).observe(this.box);
  }

  // In a small run sub-pipelines are open, and matrices of few cells.
  openedAtFirst() {
    const sizes = new Map();
    for (const fold of this.run.nodes.flatMap(foldsOf)) sizes.set(fold, (sizes.get(fold) ?? 0) + 1);
    const isOpen = ([fold, many]) => fold.startsWith("group ") || many < FOLDED_FROM;
    return new Set(this.run.nodes.length <= MOST_UNFOLDED ? [...sizes].filter(isOpen).map(([fold]) => fold) : []);
  }
  build() {
    this.plan = layout(foldedGraph(this.run, this.opened));
    for (const box of this.plan.boxes) this.describe(box);
    this.longest = this.plan.boxes.reduce((most, box) => Math.max(most, box.took), 1e-9);
    this.drawn = "";
    this.foldAll.hidden = !this.plan.folds.length;
    this.foldAll.textContent = this.isAnyOpen ? "fold all" : "unfold all";
  }
  describe(box) {
    const worked = box.nodes.filter(ran),
      outputs = [...new Set(box.from.map((edge) => edge.output))];
    box.took = worked.reduce((sum, node) => sum + (node.duration ?? 0), 0);
    box.ran = worked.length;
    box.status = worstOf(box.nodes.map((node) => node.status));
    box.critical = box.nodes.some((node) => this.run.critical.has(node.id));
    box.name = box.fold ? box.fold.replace(/^\w+ /, "") : box.nodes[0].id;
    const areApart = outputs.length > 1 && outputs.length < 6 && !box.fold;
    for (const edge of box.from)
      edge.port = areApart ? (outputs.indexOf(edge.output) - (outputs.length - 1) / 2) * 11 : 0;
  }

  get isAnyOpen() {
    return this.plan.folds.some((fold) => this.opened.has(fold));
  }
  get isLarge() {
    return this.plan.boxes.length > FEW;
  }
  get isFar() {
    return this.isLarge && this.k < FAR;
  }
  get width() {
    return this.box.clientWidth || 1000;
  }
  get height() {
    return this.box.clientHeight || 480;
  }
  get mostHeight() {
    return Math.min(window.innerHeight * 0.7, 560);
  }
  get current() {
    return this.plan.boxes.find((box) => box.key === this.active) ?? this.plan.boxOf.get(this.selected);
  }
  isChosen(box) {
    return box.key === this.active || (this.selected !== null && this.plan.boxOf.get(this.selected) === box);
  }
  isNear(edge) {
    return this.isChosen(edge.from) || this.isChosen(edge.to);
  }
  inSight(left, top, right, bottom) {
    if (!this.isLarge) return true;
    const [x, y] = [(value) => value * this.k + this.x, (value) => value * this.k + this.y];
    return x(right) > -60 && x(left) < this.width + 60 && y(bottom) > -60 && y(top) < this.height + 60;
  }

  setHeight() {
    const least = this.isLarge ? 340 : 150;
    this.box.style.height = `${Math.max(least, Math.min(this.mostHeight, this.plan.height * this.k + ROOM + 30))}px`;
  }
  // Shows the whole graph. As it is `laid` out, few boxes stay large enough to be read: what is cut off fades out.
  fit(laid = false) {
    const least = laid && this.plan.boxes.length <= MOST_UNFOLDED * 2 ? LEGIBLE : 0.005;
    this.k = Math.max(
      least,
      Math.min(1, (this.width - 40) / this.plan.width, (this.mostHeight - ROOM - 24) / this.plan.height),
    );
    this.setHeight();
    this.x = Math.max(20, (this.width - this.plan.width * this.k) / 2);
    const top = Math.max(ROOM, (this.height - this.plan.height * this.k) / 2 + 8);
    this.y = top;
    if (laid && this.current && this.x + this.plan.width * this.k > this.width) this.reveal(this.current);
    if (this.plan.height * this.k + ROOM < this.height) this.y = top;
    this.draw();
  }
  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const k = Math.max(0.005, Math.min(2.5, this.k * factor));
    const [left, top] = [x - ((x - this.x) * k) / this.k, y - ((y - this.y) * k) / this.k];
    this.k = k;
    this.moveTo(left, top);
  }
  moveTo(x, y) {
    Object.assign(this, { x, y });
    if (!this.waits)
      requestAnimationFrame(() => {
        this.waits = false;
        this.draw();
      });
    this.waits = true;
  }
  reveal(box) {
    if (this.isFar) this.k = 0.8;
    const { k, width, height } = this,
      x = box.x * k + this.x,
      y = box.y * k + this.y;
    if (x > 10 && y > 24 && x + BOX.width * k < width - 10 && y + BOX.height * k < height - 10) return;
    this.x = width / 2 - (box.x + BOX.width / 2) * k;
    this.y = height / 2 - (box.y + BOX.height / 2) * k;
  }
  activate(box) {
    if (!box) return;
    this.active = box.key;
    this.reveal(box);
    this.draw();
  }

  act(box) {
    if (box.fold) this.refold(box, () => this.opened.add(box.fold));
    else {
      this.active = box.key;
      this.open(box.nodes[0].id);
    }
  }
  // Folds the innermost matrix or sub-pipeline that a box is in.
  fold(box) {
    if (box.within.length) this.refold(box, () => this.opened.delete(box.within.at(-1)));
  }
  // Changes what is open, so that what was done to stays where it is.
  refold(box, change) {
    const [left, top] = [box.x * this.k + this.x, box.y * this.k + this.y];
    change();
    this.build();
    const first = this.plan.boxOf.get(box.nodes[0].id);
    Object.assign(this, { x: left - first.x * this.k, y: top - first.y * this.k });
    this.setHeight();
    this.activate(first);
  }
  turnFolds() {
    this.opened = new Set(this.isAnyOpen ? [] : this.plan.folds);
    this.active = null;
    this.build();
    this.fit(true);
  }

  draw() {
    if (this.onPaper) return;
    const { k, x, y, isFar } = this;
    this.world.setAttribute("transform", `translate(${x.toFixed(1)},${y.toFixed(1)}) scale(${k.toFixed(4)})`);
    this.box.classList.toggle("more-left", x < 0);
    this.box.classList.toggle("more-right", x + this.plan.width * k > this.width);
    const place = this.isLarge && !isFar ? [k, x, y, this.width] : isFar ? [k] : [];
    const drawn = JSON.stringify([isFar, this.active, this.selected, ...place]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.world.replaceChildren();
    append(this.world, [isFar ? drawFar(this) : drawNear(this), stageNames(this)]);
    if (this.active !== null && this.current)
      this.box.setAttribute("aria-activedescendant", `box-${this.current.index}`);
  }
  resized() {
    if (this.width === this.laid || this.onPaper) return;
    const isFirst = !this.laid;
    this.laid = this.width;
    if (isFirst || !this.isLarge) this.fit(true);
    else this.draw();
  }
  select(id) {
    this.selected = id;
    const box = id === null ? null : this.plan.boxOf.get(id);
    if (box) this.activate(box);
    else this.draw();
  }
  print() {
    this.onPaper = true;
    this.world.setAttribute("transform", "");
    this.svg.setAttribute("viewBox", `-20 -34 ${this.plan.width + 40} ${this.plan.height + 60}`);
    return () => {
      this.onPaper = false;
      this.svg.removeAttribute("viewBox");
      this.drawn = "";
      this.draw();
    };
  }
}

function graphLegend(run) {
  const line = (style, more) =>
    s("svg", { width: 22, height: 8, "aria-hidden": "true" }, s("path", { class: style, d: "M0 4H22", ...more }));
  const share = s(
    "svg",
    { width: 18, height: 8, "aria-hidden": "true" },
    s("rect", { y: 3, width: 18, height: 3, style: { fill: "var(--work)" } }),
  );
  return h(
    "div",
    { class: "legend" },
    h("span", null, share, "share of the time at work"),
    run.links.some((edge) => edge.kind === "order")
      ? h("span", null, line("edge order"), "waits for it, reads nothing")
      : null,
    run.critical.size ? h("span", null, line("edge critical", { "stroke-width": 2 }), "critical path") : null,
    h("span", { class: "hint" }, h("kbd", null, "Ctrl"), " + wheel zooms, drag moves, arrows go along the edges"),
  );
}

function graph(run, { open }) {
  const view = new Graph(run, open),
    stages = view.plan.heads.filter(([, name]) => name !== "at the end").length;
  view.element = h(
    "section",
    { id: "graph", class: "graph", "aria-labelledby": "graph-title" },
    h(
      "div",
      { class: "head" },
      h("h2", { id: "graph-title" }, "Graph"),
      h("span", { class: "muted" }, `${count(run.nodes.length, "node")} in ${count(stages, "stage")}`),
      h(
        "div",
        { class: "tools" },
        view.foldAll,
        zoomButtons(
          (factor) => view.zoom(factor),
          "the whole graph",
          () => view.fit(),
        ),
      ),
    ),
    h("div", { class: "card" }, view.box, graphLegend(run)),
  );
  return view;
}
