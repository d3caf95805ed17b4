// The guest's console as a list: what is printed in view, and where.

import { grouped, made, positionText } from "./words.js";

const LISTED = 400;
const EARLIER = 12;

export class ConsoleList {
  constructor(list, title, timeline, go) {
    Object.assign(this, { list, title, timeline, go, timer: 0 });
    list.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) go(timeline.model.described(this.track, Number(button.dataset.mark)));
    });
    list.addEventListener("pointerover", (event) => {
      const button = event.target.closest("button");
      if (button) timeline.place(timeline.crosshair, this.track.at[Number(button.dataset.mark)]);
    });
    list.addEventListener("pointerleave", () => timeline.hide());
  }

  get track() { return this.timeline.model.track("console"); }

  // Once the view has come to rest.
  refresh() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.fill(), 60);
  }

  fill() {
    if (this.track.count === 0) {
      this.title.textContent = `Console: ${this.track.note}`;
      this.list.replaceChildren();
    } else if (this.timeline.cursor === null) {
      this.fillView();
    } else {
      this.fillToHere();
    }
  }

  // The lines that are printed in view; where they are few, also what stands above them on the guest's console.
  fillView() {
    const { track, timeline: { view } } = this;
    const from = track.firstAt(view.from), to = track.firstAt(view.to + 1);
    const start = Math.max(from - Math.max(EARLIER - (to - from), 0), 0), end = Math.min(to, from + LISTED);
    this.title.textContent =
      `Console: ${grouped.format(track.before[to] - track.before[from])} of ${grouped.format(track.count)} lines in view`;
    const items = [];
    for (let mark = start; mark < end; mark++) items.push(this.line(mark, mark < from ? "earlier" : ""));
    if (end < to) items.push(made("li", "more", `${grouped.format(to - end)} more: zoom in to see them`));
    this.list.replaceChildren(...items);
  }

  // What the guest has printed up to the cursor, and pale what it prints next.
  fillToHere() {
    const { track, timeline: { cursor } } = this;
    const to = track.firstAt(cursor), end = Math.min(to + EARLIER, track.at.length);
    this.title.textContent = `${grouped.format(track.before[to])} of ${grouped.format(track.count)} lines printed by now`;
    const items = [];
    for (let mark = Math.max(to - LISTED, 0); mark < end; mark++) {
      items.push(this.line(mark, mark >= to ? "later" : mark === to - 1 ? "last" : ""));
    }
    this.list.replaceChildren(...items);
    const last = this.list.querySelector(".last");
    if (last) this.list.scrollTop = last.offsetTop - this.list.offsetTop - this.list.clientHeight * 0.7;
    else this.list.scrollTop = 0;
  }

  line(mark, className) {
    const { track, timeline: { model } } = this;
    const icount = track.at[mark], phase = track.phase(mark), more = track.more(mark);
    const button = made("button", className);
    button.type = "button";
    button.dataset.mark = mark;
    button.append(
      made("span", "at", positionText(icount, phase)),
      made("span", "time", model.timeText(model.timeAt(icount, phase))),
      made("span", "said", track.text(mark) + (more ? ` (and ${grouped.format(more)} more)` : "")));
    const item = made("li");
    item.append(button);
    return item;
  }
}

export function factsText(model) {
  return [`${positionText(model.end)} instructions`, `${model.timeText(model.timeAt(model.end, 1), 3)} of guest time`,
    ...model.data.facts].join(" \u00b7 ");
}
