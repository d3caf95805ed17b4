// What is shown: the tracks of marks, the guest's clock, and which part of the timeline is in view.

import { first, grouped, positionText } from "./words.js";

const LEAST_SPAN = 16;

// A track's marks in columns, so that a million of them take some megabytes and are found by halving.
export class Track {
  constructor(data, index) {
    Object.assign(this, { name: data.name, one: data.one, kind: data.kind, note: data.note, index });
    this.columns = data;
    const at = this.at = new Float64Array(data.at.length);
    let icount = 0;
    for (let mark = 0; mark < at.length; mark++) at[mark] = icount += data.at[mark];
    // How many things there are before each mark: a mark may stand for several.
    this.before = new Float64Array(at.length + 1);
    for (let mark = 0; mark < at.length; mark++) this.before[mark + 1] = this.before[mark] + 1 + this.more(mark);
    this.count = this.before[at.length];
    this.most = (data.value || []).reduce((most, value) => Math.max(most, value), 1);
  }

  phase(mark) { return this.columns.phase ? this.columns.phase[mark] : 0; }
  value(mark) { return this.columns.value ? this.columns.value[mark] : 0; }
  more(mark) { return this.columns.more ? this.columns.more[mark] : 0; }
  span(mark) { return this.columns.span ? this.columns.span[mark] : 0; }
  depth(mark) { return this.columns.depth ? this.columns.depth[mark] : 0; }
  text(mark) { return this.columns.text ? this.columns.text[mark] : ""; }

  // The first mark at or behind an icount.
  firstAt(icount) {
    const at = this.at;
    let low = 0, high = at.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (at[middle] >= icount) high = middle; else low = middle + 1;
    }
    return low;
  }

  // How many things there are in [from, to), a mark that stands for several being spread over its span.
  countBetween(from, to) {
    const begin = this.firstAt(from), end = this.firstAt(to);
    let total = this.before[end] - this.before[begin];
    if (!this.columns.span) return total;
    const share = (mark, start, stop) => {
      const length = this.span(mark) + 1;
      const overlap = Math.min(stop, this.at[mark] + length) - Math.max(start, this.at[mark]);
      return (1 + this.more(mark)) * Math.min(Math.max(overlap, 0) / length, 1);
    };
    if (begin > 0) total += share(begin - 1, from, to);
    if (end > begin) total -= share(end - 1, to, Infinity);
    return total;
  }

  // The mark nearest to an icount, if it is no further than `reach`; -1 if there is none.
  nearest(icount, reach) {
    const after = this.firstAt(icount);
    let best = -1, distance = reach;
    for (const mark of [after - 1, after]) {
      if (mark < 0 || mark >= this.at.length) continue;
      const away = Math.max(this.at[mark] - icount, icount - this.at[mark] - this.span(mark), 0);
      if (away <= distance) [best, distance] = [mark, away];
    }
    return best;
  }
}

export class Model {
  constructor(data) {
    this.data = data;
    this.name = data.name;
    this.end = data.end[0];
    this.whole = Math.max(this.end, 1);
    this.tracks = data.tracks.map((track, index) => new Track(track, index));
    this.speeds = data.speed.map(([start, end, seconds]) => (end - start) / Math.max(seconds, 1e-9));
    this.view = new View(this.whole);
  }

  track(name) { return this.tracks.find((track) => track.name === name); }

  // Nanoseconds of guest time since the start. At a jump of the clock phase 0 is before it, phase 1 after it.
  timeAt(icount, phase = 0) {
    const knots = this.data.clock;
    const next = first(knots, (knot) => knot[0] > icount);
    const knot = knots[next - 1];
    if (knot[0] === icount) return phase ? knot[2] : knot[1];
    if (next === knots.length) return knot[2];
    const share = (icount - knot[0]) / (knots[next][0] - knot[0]);
    return knot[2] + (knots[next][1] - knot[2]) * share;
  }

  // Where the guest's clock first shows a time; in a jump that is its place.
  icountAtTime(nanoseconds) {
    const knots = this.data.clock;
    const next = first(knots, (knot) => knot[2] >= nanoseconds);
    if (next === knots.length) return this.end;
    if (next === 0 || nanoseconds >= knots[next][1]) return knots[next][0];
    const [icount, , after] = knots[next - 1];
    return icount + (nanoseconds - after) * (knots[next][0] - icount) / (knots[next][1] - after);
  }

  timeText(nanoseconds, digits = 6) {
    return (this.data.exact ? "" : "about ") + (nanoseconds / 1e9).toFixed(digits) + " s";
  }

  // The time of day, which Date knows to the millisecond only.
  dayText(nanoseconds) {
    return new Date(Date.parse(this.data.base) + nanoseconds / 1e6).toISOString().slice(11, 23) + " UTC";
  }

  // What there is to say about a mark: a heading, lines of details, and where it is.
  described(track, mark) {
    const icount = track.at[mark], phase = track.phase(mark), text = track.text(mark), more = track.more(mark);
    const heading = more ? `${grouped.format(more + 1)} ${track.name}` : track.one;
    const time = this.timeAt(icount, phase);
    const lines = [`${more ? "from " : ""}${positionText(icount, phase)}`];
    if (more) lines.push(`to ${positionText(icount + track.span(mark))}`);
    lines.push(`${this.timeText(time)}, ${this.dayText(time)}`);
    if (text) lines.push(text + (more ? " ..." : ""));
    return { heading, lines, at: icount, position: positionText(icount, phase) };
  }

  // A place where there is nothing to be described.
  place(icount) {
    const at = Math.round(Math.min(Math.max(icount, 0), this.end));
    const time = this.timeAt(at);
    const position = positionText(at);
    return { heading: position, lines: [`${this.timeText(time)}, ${this.dayText(time)}`], at, position };
  }
}

// Which part of the timeline is shown.
class View {
  constructor(whole) {
    this.whole = whole;
    this.from = 0;
    this.to = whole;
  }

  get span() { return this.to - this.from; }

  // Show `span` instructions from `from` on, as far as the recording has them.
  show(from, span) {
    const wide = Math.min(Math.max(span, LEAST_SPAN), this.whole);
    this.from = Math.min(Math.max(from, 0), this.whole - wide);
    this.to = this.from + wide;
  }

  zoom(factor, around = (this.from + this.to) / 2) {
    const span = Math.min(Math.max(this.span / factor, LEAST_SPAN), this.whole);
    this.show(around - (around - this.from) * span / this.span, span);
  }

  pan(share) { this.show(this.from + share * this.span, this.span); }
}
