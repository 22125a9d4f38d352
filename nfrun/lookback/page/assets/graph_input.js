// What keys, pointer and wheel do in the graph. `view` is a Graph.

function graphKeys(view) {
  const others = {
    "+": () => view.zoom(1.6),
    "=": () => view.zoom(1.6),
    "-": () => view.zoom(1 / 1.6),
    0: () => view.fit(),
  };
  const acts = { Enter: (box) => view.act(box), " ": (box) => view.act(box), Backspace: (box) => view.fold(box) };
  const moves = {
    ArrowRight: (box) => box.from.map((edge) => edge.to),
    ArrowLeft: (box) => box.into.map((edge) => edge.from),
    ArrowDown: 1,
    ArrowUp: -1,
  };
  // The nearest of some boxes: in the nearest column first.
  const nearest = (box, boxes) => {
    const away = (other) => Math.abs(other.column - box.column) * 1e6 + Math.abs(other.y - box.y);
    return boxes.reduce((best, other) => (best === null || away(other) < away(best) ? other : best), null);
  };
  const inColumn = (box, by) => {
    const column = view.plan.boxes
      .filter((other) => other.column === box.column)
      .sort((a, b) => a.y - b.y || a.x - b.x);
    return column[column.indexOf(box) + by];
  };
  const next = (box, move) => (typeof move === "number" ? inColumn(box, move) : nearest(box, move(box)));
  view.box.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const box = view.current;
    if (event.key in moves) view.activate(box ? next(box, moves[event.key]) : view.plan.boxes[0]);
    else if (event.key in acts) {
      if (box) acts[event.key](box);
    } else if (event.key in others) others[event.key]();
    else return;
    event.preventDefault();
  });
}

function edgeTip(edge) {
  const { rows, bytes, many } = sumsOf(edge);
  const what =
    many > 1 ? `${number(many)} tables, ` : edge.output !== edge.from.name && !edge.from.fold ? `${edge.output}: ` : "";
  return [
    h("b", null, bdi(edge.from.name), " → ", bdi(edge.to.name)),
    edge.kind === "order" ? "waits for it, reads nothing" : `${what}${amount({ rows, bytes }) || "not recorded"}`,
  ];
}

function graphTip(view, event, box) {
  const edge = view.plan.edges[event.target.getAttribute?.("data-edge") ?? -1];
  if (box?.fold)
    tip.show(
      event,
      h("b", null, bdi(box.name)),
      h("div", null, subtitle(view, box)),
      h("div", { class: "muted" }, "click to unfold"),
    );
  else if (box) tip.show(event, barTip(box.nodes[0], view.run));
  else if (edge) tip.show(event, edgeTip(edge));
  else tip.hide();
}

function graphPointer(view) {
  const { box: area, svg } = view;
  const boxAt = (event) => {
    const index = event.target.closest?.("[data-box]")?.getAttribute("data-box");
    if (known(index)) return view.plan.boxes[Number(index)];
    const place = area.getBoundingClientRect(),
      x = (event.clientX - place.left - view.x) / view.k,
      y = (event.clientY - place.top - view.y) / view.k;
    return view.isLarge
      ? view.plan.boxes.find((box) => x >= box.x && x <= box.x + BOX.width && y >= box.y && y <= box.y + BOX.height)
      : undefined;
  };
  let drag = null;
  area.addEventListener("pointerdown", (event) => {
    if (!event.button)
      drag = { left: event.clientX, top: event.clientY, x: view.x, y: view.y, box: boxAt(event), moved: false };
  });
  area.addEventListener("pointermove", (event) => {
    if (!drag) {
      graphTip(view, event, boxAt(event));
      return;
    }
    const right = event.clientX - drag.left,
      down = event.clientY - drag.top;
    if (!drag.moved && Math.hypot(right, down) > 4) {
      drag.moved = true;
      svg.classList.add("panning");
      area.setPointerCapture(event.pointerId);
      tip.hide();
    }
    if (drag.moved) view.moveTo(drag.x + right, drag.y + down);
  });
  area.addEventListener("pointerup", () => {
    if (drag && !drag.moved && drag.box) view.act(drag.box);
    drag = null;
    svg.classList.remove("panning");
  });
  area.addEventListener("pointercancel", () => {
    drag = null;
  });
  area.addEventListener("pointerleave", tip.hide);
  area.addEventListener(
    "wheel",
    (event) => {
      const place = area.getBoundingClientRect(),
        isSideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
      if (event.ctrlKey || event.metaKey)
        view.zoom(Math.exp(-event.deltaY / 300), event.clientX - place.left, event.clientY - place.top);
      else if (isSideways) view.moveTo(view.x - event.deltaX, view.y);
      else return;
      event.preventDefault();
    },
    { passive: false },
  );
}
