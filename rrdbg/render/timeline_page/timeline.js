// The rows of the timeline in the page, what the mouse, fingers and keys do to them, and the cursor.

import {
  Palette, icountOf, markAt, paintHeights, paintMarks, paintNote, paintOverview, paintPositions, paintRate, paintSpeed,
  paintTicks, paintTimes, perPixel, rateAt, speedAt, xOf,
} from "./painting.js";
import { flameAt, flameHeight, paintFlame } from "./flame.js";
import { Track } from "./model.js";
import { grouped, made, positionText } from "./words.js";

const KINDS = {
  heights: { height: 40, low: 26, paint: paintHeights, at: markAt },
  rate: { height: 42, low: 30, paint: paintRate, at: rateAt },
  marks: { height: 22, low: 20, paint: paintMarks, at: markAt },
  runs: { height: 22, low: 20, paint: paintFlame, at: flameAt },
  flame: { height: 22, low: 20, paint: paintFlame, at: flameAt, tall: flameHeight },
};
const HUES = 8;
const TOUCH_SLACK = 3;

// One row: a label and a canvas.
class Row {
  constructor(name, { height, paint, at = null, track = null, tint = "", className = "", spoken = name, small = false }) {
    Object.assign(this, { name, height, paint, at, track, tint });
    this.node = made("div", `row ${className}`);
    this.label = made("div", "label");
    this.title = made("b");
    this.title.append(made("span", "", name));
    this.title.title = name;
    this.label.append(this.title);
    this.number = made("i");
    if (track) this.title.append(this.number);
    this.small = small ? this.label.appendChild(made("small")) : null;
    if (tint) this.label.style.setProperty("--colour", `var(${tint})`);
    this.canvas = made("canvas");
    this.canvas.setAttribute("role", "img");
    this.spoken = spoken;
    this.node.dataset.track = name;
    this.node.append(this.label, this.canvas);
    this.resize(height);
    this.count();
  }

  resize(height) {
    this.height = height;
    this.canvas.style.height = `${height}px`;
  }

  count() {
    if (this.track) this.number.textContent = grouped.format(this.track.count);
    const spoken = this.track ? `${this.name}: ${this.number.textContent}` : this.spoken;
    this.canvas.setAttribute("aria-label", spoken);
  }

  say(text) {
    if (!this.small || this.small.textContent === text) return;
    this.small.textContent = text;
    this.label.title = `${this.name}: ${text}`;
  }
}

// `go` is called with what was chosen ({heading, lines, at, position}), `shown` when another part is in view;
// `hint` says of a position what a click does, `compact` leaves room for more than the timeline; `offers` says for tracks
// that may be empty what can be done about that: {text, act}.
export class Timeline {
  constructor(surface, model, { go, shown = () => {}, hint, compact = false, offers = {} }) {
    Object.assign(this, { surface, model, go, shown, hint, compact, offers, palette: new Palette(), rows: [] });
    this.list = surface.appendChild(made("div"));
    this.list.id = "rows";
    this.crosshair = surface.appendChild(made("div", "crosshair"));
    this.here = surface.appendChild(made("div", "here"));
    this.tip = document.body.appendChild(made("div", "tip"));
    this.spoken = document.body.appendChild(made("p", "spoken"));
    this.spoken.setAttribute("aria-live", "polite");
    this.crosshair.hidden = this.here.hidden = this.tip.hidden = true;
    this.cursor = null;
    this.others = [];
    this.chosen = -1;
    this.marked = -1;
    this.scheduled = false;
    this.fingers = new Map();
    this.dragged = null;
    this.build();
    this.listen();
    this.refresh();
  }

  get view() { return this.model.view; }

  build() {
    this.add("whole", {
      height: 26, paint: paintOverview, className: "overview axis", spoken: "The whole recording, and the part in view",
    });
    this.add("position", { height: 22, paint: paintPositions, className: "axis" });
    for (const track of this.model.tracks) this.addTrack(track);
    this.last = this.add("replay speed", {
      height: this.compact ? 26 : 40, paint: paintSpeed, at: speedAt, tint: `--track-${HUES - 1}`, small: true,
    });
    this.add("guest time", { height: this.compact ? 20 : 22, paint: paintTimes, className: "axis" });
  }

  add(name, options, before = null) {
    const row = new Row(name, options);
    this.list.insertBefore(row.node, before && before.node);
    const index = before ? this.rows.indexOf(before) : this.rows.length;
    this.rows.splice(index, 0, row);
    if (this.chosen >= index) this.chosen++;
    return row;
  }

  addTrack(track, before = null) {
    const kind = KINDS[track.kind];
    const height = kind.tall ? kind.tall(track) : this.compact ? kind.low : kind.height;
    const row = this.add(track.name, {
      ...kind, height, track, tint: `--track-${track.index % HUES}`, small: track.kind !== "marks", className: track.kind,
    }, before);
    this.offer(row);
    return row;
  }

  offer(row) {
    const offer = this.offers[row.name], old = row.node.querySelector(".offer");
    if (old) old.remove();
    if (!offer || row.track.at.length) return;
    const button = made("button", "offer", offer.text);
    button.type = "button";
    button.title = row.track.note;
    button.setAttribute("aria-label", `${offer.text}: ${row.name}`);
    button.addEventListener("click", offer.act);
    row.node.append(button);
  }

  // Another form of a track, or a new one, at the top if it is to be the `first`; without marks and a note it goes.
  update(data, first = data.kind === "flame") {
    const row = this.rows.find((known) => known.track && known.name === data.name);
    const track = new Track(data, row ? row.track.index : this.rows.length);
    if (row && !data.at.length && !data.note) {
      const index = this.rows.indexOf(row);
      row.node.remove();
      this.rows.splice(index, 1);
      if (this.chosen === index) this.chosen = this.marked = -1;
      if (this.chosen > index) this.chosen--;
    } else if (row) {
      const index = this.model.tracks.indexOf(row.track);
      if (index >= 0) this.model.tracks[index] = track;
      row.track = track;
      if (KINDS[data.kind].tall) row.resize(KINDS[data.kind].tall(track));
      row.count();
      this.offer(row);
    } else if (data.at.length || data.note) {
      this.addTrack(track, first ? this.rows.find((known) => known.track) : this.last);
    }
    this.refresh();
  }

  // The cursor stands there now; where it has moved it is brought into view.
  stand(icount, phase = 0) {
    const moved = icount !== this.cursor;
    this.cursor = icount;
    this.here.dataset.at = positionText(icount, phase);
    if (!moved) { this.refresh(); return; }
    if (icount < this.view.from || icount > this.view.to) this.view.show(icount - this.view.span / 2, this.view.span);
    this.refresh();
  }

  // Where others are, each with its name: [{key, name, position}]; a click on a name goes there.
  meet(clients) {
    const known = new Map(this.others.map((other) => [other.key, other]));
    this.others = clients.map(({ key, name, position: { icount, phase } }) => {
      const other = known.get(key) || this.stranger(key, name);
      known.delete(key);
      const position = positionText(icount, phase);
      Object.assign(other, { icount, position });
      other.flag.title = `${name} is at ${position}: click to go there`;
      other.node.dataset.at = position;
      return other;
    });
    for (const gone of known.values()) gone.node.remove();
    this.refresh();
  }

  stranger(key, name) {
    const node = this.surface.appendChild(made("div", "other")), flag = made("button", "", name);
    const other = { key, node, flag };
    flag.type = "button";
    flag.addEventListener("click", () => this.go({ position: other.position }));
    node.append(flag);
    return other;
  }

  // Flags that would lie on each other stand below each other, and none is out of the row.
  placeOthers() {
    const taken = [], edge = this.surface.clientWidth;
    for (const { node, flag, icount } of [...this.others].sort((a, b) => a.icount - b.icount)) {
      this.place(node, icount);
      if (node.hidden) continue;
      const left = node.offsetLeft, wide = flag.offsetWidth, begin = Math.min(left, edge - wide);
      let lane = 0;
      while (taken[lane] > begin) lane++;
      taken[lane] = begin + wide + 4;
      flag.style.left = `${begin - left}px`;
      flag.style.top = `${1 + lane * 18}px`;
    }
  }

  // Have a stretch in view, where little or nothing of it can be seen.
  reveal(from, to) {
    const { view } = this, span = Math.max(to - from, 1);
    if (from < view.from || to > view.to || span < view.span / 20) view.show(from - span * 0.02, span * 1.04);
    this.refresh();
  }

  refresh() {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => this.paint());
  }

  paint() {
    this.scheduled = false;
    const { model, view, palette, rows } = this;
    const scale = window.devicePixelRatio || 1;
    for (const row of rows) {
      const width = row.canvas.clientWidth, { height, canvas } = row;
      const wide = Math.round(width * scale), high = Math.round(height * scale);
      if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
      const context = canvas.getContext("2d");
      context.setTransform(scale, 0, 0, scale, 0, 0);
      context.clearRect(0, 0, width, height);
      const on = { context, width, height, view, palette, model, row, rows, cursor: this.cursor, others: this.others };
      if (row.tint) paintTicks(on);
      if (row.track && !row.track.at.length) paintNote(on, row.track.note || "none");
      else if (row === this.last && !model.speeds.length) paintNote(on, "not measured yet: 'rrdbg index' does");
      else row.paint(on);
    }
    if (this.cursor !== null) this.place(this.here, this.cursor);
    this.placeOthers();
    this.surface.dataset.from = view.from;
    this.surface.dataset.to = view.to;
    this.shown(this.rangeText());
  }

  rangeText() {
    const { model, view } = this;
    const share = view.span / view.whole * 100;
    const time = model.timeAt(view.to, 1) - model.timeAt(view.from);
    return `${positionText(view.from)} to ${positionText(view.to)} ` +
      `(${share >= 10 ? share.toFixed(0) : share.toPrecision(2)}%), ${model.timeText(time, 6)}`;
  }

  // Put a line that goes through all rows at an icount, unless that is out of view.
  place(line, icount) {
    const { canvas } = this.rows[1], width = canvas.clientWidth, x = xOf(this.view, icount, width);
    line.hidden = x < 0 || x > width;
    line.style.left = `${canvas.offsetLeft + x}px`;
    line.style.height = `${this.list.offsetHeight - line.offsetTop}px`;
  }

  under(row, x, width, y) {
    const icount = icountOf(this.view, x, width);
    return (row.at && row.at(this.model, row.track, icount, perPixel(this.view, width), y)) || this.model.place(icount);
  }

  show(found, x, y) {
    this.tip.replaceChildren(made("b", "", found.heading), [...found.lines, this.hint(found.position)].join("\n"));
    this.tip.hidden = false;
    const { width, height } = this.tip.getBoundingClientRect();
    this.tip.style.left = `${Math.max(Math.min(x + 14, innerWidth - width - 8), 4)}px`;
    this.tip.style.top = `${y + 18 + height > innerHeight ? Math.max(y - height - 12, 4) : y + 18}px`;
  }

  hide() { this.tip.hidden = this.crosshair.hidden = true; }

  rowOf(event) { return this.rows.find((row) => row.canvas === event.target); }

  listen() {
    const { surface } = this;
    const on = (name, handle, options) => surface.addEventListener(name, handle, options);
    on("pointerdown", (event) => this.press(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.release(event));
    on("pointercancel", (event) => { this.fingers.delete(event.pointerId); this.dragged = null; });
    on("pointerleave", () => { if (!this.dragged) this.hide(); });
    on("wheel", (event) => this.wheel(event), { passive: false });
    on("dblclick", (event) => {
      const row = this.rowOf(event);
      if (!row) return;
      const box = row.canvas.getBoundingClientRect();
      this.view.zoom(4, icountOf(this.view, event.clientX - box.left, box.width));
      this.refresh();
    });
    new ResizeObserver(() => {
      this.palette.forget(); // wide pages have larger letters
      this.refresh();
    }).observe(surface);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.palette.forget();
      this.refresh();
    });
  }

  press(event) {
    const row = this.rowOf(event);
    if (!row || event.button !== 0) return;
    row.canvas.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, event.clientX);
    const overview = row.node.classList.contains("overview");
    this.dragged = { x: event.clientX, from: this.view.from, moved: false, row, overview };
    if (overview) this.moveWindow(event, row);
  }

  move(event) {
    const row = this.dragged ? this.dragged.row : this.rowOf(event);
    if (!row) { this.hide(); return; }
    const box = row.canvas.getBoundingClientRect(), width = box.width;
    if (!this.dragged) {
      if (row.node.classList.contains("overview")) { this.hide(); return; }
      const found = this.under(row, event.clientX - box.left, width, event.clientY - box.top);
      this.show(found, event.clientX, event.clientY);
      this.place(this.crosshair, found.at);
      return;
    }
    const before = [...this.fingers.values()];
    this.fingers.set(event.pointerId, event.clientX);
    const { dragged } = this;
    if (this.fingers.size === 2) {
      const after = [...this.fingers.values()];
      const wide = ([a, b]) => Math.max(Math.abs(a - b), 8), middle = (after[0] + after[1]) / 2 - box.left;
      this.view.zoom(wide(after) / wide(before), icountOf(this.view, middle, width));
      dragged.moved = true;
    } else {
      if (Math.abs(event.clientX - dragged.x) > TOUCH_SLACK) dragged.moved = true;
      if (!dragged.moved) return;
      if (dragged.overview) this.moveWindow(event, row);
      else this.view.show(dragged.from - (event.clientX - dragged.x) * perPixel(this.view, width), this.view.span);
    }
    this.hide();
    this.refresh();
  }

  release(event) {
    this.fingers.delete(event.pointerId);
    if (!this.dragged) return;
    const { row, moved, overview } = this.dragged;
    this.dragged = null;
    if (moved || overview) return;
    const box = row.canvas.getBoundingClientRect();
    this.choose(this.rows.indexOf(row));
    this.go(this.under(row, event.clientX - box.left, box.width, event.clientY - box.top));
  }

  moveWindow(event, row) {
    const box = row.canvas.getBoundingClientRect();
    this.view.show((event.clientX - box.left) / box.width * this.view.whole - this.view.span / 2, this.view.span);
    this.refresh();
  }

  wheel(event) {
    const row = this.rowOf(event);
    if (!row) return;
    event.preventDefault();
    const box = row.canvas.getBoundingClientRect();
    const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
    if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) this.view.pan(sideways / box.width);
    else this.view.zoom(1.0025 ** -event.deltaY, icountOf(this.view, event.clientX - box.left, box.width));
    this.hide();
    this.refresh();
  }

  choose(index) {
    if (!this.rows[index] || !this.rows[index].track) return;
    this.rows.forEach((row, other) => row.node.classList.toggle("chosen", other === index));
    this.chosen = index;
    this.marked = -1;
  }

  chooseNext(by) {
    let index = this.chosen;
    do index += by; while (this.rows[index] && !this.rows[index].track);
    if (!this.rows[index]) return;
    this.choose(index);
    this.rows[index].node.scrollIntoView({ block: "nearest" });
    this.spoken.textContent = `${this.rows[index].name}: ${grouped.format(this.rows[index].track.count)}`;
  }

  // Go to the next (1) or the previous (-1) mark of the chosen track, and say what it is.
  step(by) {
    if (this.chosen < 0) this.choose(this.rows.findIndex((row) => row.track));
    const { track, canvas } = this.rows[this.chosen], { view } = this;
    const middle = (view.from + view.to) / 2;
    const next = this.marked >= 0 ? this.marked + by : by > 0 ? track.firstAt(view.from) : track.firstAt(middle) - 1;
    if (next < 0 || next >= track.at.length) return;
    this.marked = next;
    const at = track.at[next];
    if (at < view.from || at > view.to) view.show(at - view.span / 2, view.span);
    this.refresh();
    const found = this.model.described(track, next), box = canvas.getBoundingClientRect();
    this.show(found, box.left + xOf(view, at, box.width), box.top + box.height / 2);
    this.place(this.crosshair, at);
    this.spoken.textContent = [found.heading, ...found.lines].join(", ");
  }

  // What a key does, if it means anything here.
  key(name) {
    const { view } = this;
    const act = {
      "+": () => view.zoom(2), "=": () => view.zoom(2), "-": () => view.zoom(0.5), "0": () => view.show(0, view.whole),
      ArrowLeft: () => view.pan(-0.2), ArrowRight: () => view.pan(0.2), Home: () => view.show(0, view.span),
      End: () => view.show(view.whole, view.span), ArrowUp: () => this.chooseNext(-1),
      ArrowDown: () => this.chooseNext(1), ".": () => this.step(1), ",": () => this.step(-1), Escape: () => this.hide(),
      Enter: () => this.chosen >= 0 && this.marked >= 0 &&
        this.go(this.model.described(this.rows[this.chosen].track, this.marked)),
    }[name];
    if (!act) return false;
    if (![".", ",", "Enter"].includes(name)) this.hide();
    act();
    this.refresh();
    return true;
  }
}

// The buttons of a toolbar that do what keys do.
export function addButtons(timeline) {
  for (const [id, key] of [["left", "ArrowLeft"], ["right", "ArrowRight"], ["in", "+"], ["out", "-"], ["all", "0"]]) {
    document.getElementById(id).addEventListener("click", () => timeline.key(key));
  }
}
