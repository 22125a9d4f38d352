// The time axis of the timeline: what part of the run is in sight, zoom and pan.

class Axis {
  constructor(end) {
    this.end = end;
    this.fit();
  }
  fit() {
    [this.from, this.to] = [0, this.end];
  }
  get span() {
    return this.to - this.from;
  }
  get isZoomed() {
    return this.span < this.end * 0.9999;
  }
  // Seconds to pixels in a plot that begins at `left` and is `width` wide.
  place(left, width) {
    this.left = left;
    this.width = width;
    this.scale = width / this.span;
  }
  x(time) {
    return this.left + (time - this.from) * this.scale;
  }
  time(x) {
    return this.from + (x - this.left) / this.scale;
  }
  zoom(factor, around = (this.from + this.to) / 2) {
    const span = Math.min(this.end, Math.max(this.end / 1e5, this.span / factor));
    const share = (around - this.from) / this.span;
    this.move(around - share * span, span);
  }
  pan(by) {
    this.move(this.from + by, this.span);
  }
  move(from, span) {
    this.from = Math.max(0, Math.min(this.end - span, from));
    this.to = this.from + span;
  }
  show(from, to) {
    if (from >= this.from && to <= this.to) return;
    if (to - from > this.span) this.move(from - (to - from) * 0.1, Math.min(this.end, (to - from) * 1.2));
    else this.pan(from < this.from ? from - this.from - this.span * 0.1 : to - this.to + this.span * 0.1);
  }
  ticks() {
    const step = roundStep(this.span, this.width / 90),
      first = Math.ceil(this.from / step - 1e-9);
    return Array.from({ length: Math.max(0, Math.floor(this.to / step + 1e-9) - first + 1) }, (_, index) => [
      (first + index) * step,
      tickText((first + index) * step, step),
    ]);
  }
}
