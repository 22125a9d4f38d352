// What keys, pointer and wheel do in the timeline. `view` is a Timeline.

function timelineKeys(view) {
  const { axis, worked } = view;
  const pan = (by) => {
    axis.pan(axis.span * by);
    view.draw();
  };
  const at = () => worked.findIndex((node) => node.id === view.active);
  const open = () => view.active !== null && view.open(view.active);
  const keys = {
    ArrowRight: (event) => (event.shiftKey ? pan(0.2) : view.move(at() + 1)),
    ArrowLeft: (event) => (event.shiftKey ? pan(-0.2) : view.move(at() - 1)),
    ArrowDown: () => view.moveRow(1),
    ArrowUp: () => view.moveRow(-1),
    Home: () => view.move(0),
    End: () => view.move(worked.length - 1),
    "+": () => view.zoom(1.6),
    "=": () => view.zoom(1.6),
    "-": () => view.zoom(1 / 1.6),
    0: () => view.fit(),
    Enter: open,
    " ": open,
  };
  view.box.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    keys[event.key](event);
    event.preventDefault();
  });
}

function timelinePointer(view) {
  const { axis, box: area } = view;
  const nodeAt = (event) => view.run.byId.get(event.target.closest?.("[data-node]")?.getAttribute("data-node"));
  let drag = null;
  area.addEventListener("pointerdown", (event) => {
    if (event.button || event.target.closest?.(".row-label")) return;
    drag = {
      x: event.clientX,
      from: axis.from,
      onStrip: view.strip.contains(event.target),
      node: nodeAt(event),
      moved: false,
    };
    if (axis.isZoomed && event.pointerType !== "touch") area.setPointerCapture(event.pointerId);
  });
  area.addEventListener("pointermove", (event) => {
    if (!drag) {
      const node = nodeAt(event);
      if (node) tip.show(event, barTip(node, view.run));
      else tip.hide();
      return;
    }
    const by = event.clientX - drag.x;
    drag.moved ||= Math.abs(by) > 4;
    if (!drag.moved || !axis.isZoomed) return;
    axis.move(drag.onStrip ? drag.from + (by * axis.end) / axis.width : drag.from - by / axis.scale, axis.span);
    area.classList.add("panning");
    tip.hide();
    view.draw();
  });
  area.addEventListener("pointerup", () => {
    if (drag && !drag.moved && drag.node) {
      view.active = drag.node.id;
      view.open(drag.node.id);
    }
    drag = null;
    area.classList.remove("panning");
  });
  area.addEventListener("pointercancel", () => {
    drag = null;
  });
  area.addEventListener("pointerleave", tip.hide);
  area.addEventListener(
    "wheel",
    (event) => {
      const isSideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
      if (event.ctrlKey || event.metaKey)
        view.zoom(Math.exp(-event.deltaY / 300), axis.time(event.clientX - area.getBoundingClientRect().left));
      else if (isSideways && axis.isZoomed) {
        axis.pan(event.deltaX / axis.scale);
        view.draw();
      } else return;
      event.preventDefault();
    },
    { passive: false },
  );
}
