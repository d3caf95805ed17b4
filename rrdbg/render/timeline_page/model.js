"use strict";

// What the page shows: the tracks, the guest's clock, and which part of the timeline is in view.

const data = JSON.parse(document.getElementById("data").textContent);
const END = data.end[0];
const LEAST_SPAN = 16;
const grouped = new Intl.NumberFormat("en-US");

function decoded(track, index) {
  const at = new Float64Array(track.at.length);
  let icount = 0;
  track.at.forEach((difference, mark) => { at[mark] = icount += difference; });
  const column = (name) => (mark) => (track[name] ? track[name][mark] : 0);
  const result = {
    ...track, at, index,
    phase: column("phase"), value: column("value"), more: column("more"), span: column("span"),
    text: (mark) => (track.text ? track.text[mark] : ""),
  };
  // How many things there are before each mark: a mark may stand for several.
  result.before = new Float64Array(at.length + 1);
  for (let mark = 0; mark < at.length; mark++) result.before[mark + 1] = result.before[mark] + 1 + result.more(mark);
  result.count = result.before[at.length];
  return result;
}

const tracks = data.tracks.map(decoded);

// The index of the first of `sorted` for which `reached` holds; it must hold for all that follow.
function first(sorted, reached) {
  let low = 0, high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (reached(sorted[middle])) high = middle; else low = middle + 1;
  }
  return low;
}

const firstAt = (track, icount) => first(track.at, (at) => at >= icount);

// Nanoseconds of guest time since the start. At a jump of the clock phase 0 is before it, phase 1 after it.
function timeAt(icount, phase = 0) {
  const knots = data.clock;
  const next = first(knots, (knot) => knot[0] > icount);
  const knot = knots[next - 1];
  if (knot[0] === icount) return phase ? knot[2] : knot[1];
  if (next === knots.length) return knot[2];
  const share = (icount - knot[0]) / (knots[next][0] - knot[0]);
  return knot[2] + (knots[next][1] - knot[2]) * share;
}

// Where the guest's clock first shows a time; in a jump that is its place.
function icountAtTime(nanoseconds) {
  const knots = data.clock;
  const next = first(knots, (knot) => knot[2] >= nanoseconds);
  if (next === knots.length) return END;
  if (next === 0 || nanoseconds >= knots[next][1]) return knots[next][0];
  const [icount, , after] = knots[next - 1];
  return icount + (nanoseconds - after) * (knots[next][0] - icount) / (knots[next][1] - after);
}

const positionText = (icount, phase) => grouped.format(Math.round(icount)) + (phase ? ":" + phase : "");

function timeText(nanoseconds, digits = 6) {
  const about = data.exact ? "" : "about ";
  return about + (nanoseconds / 1e9).toFixed(digits) + " s";
}

// The time of day, which Date knows to the millisecond only.
function dayText(nanoseconds) {
  return new Date(Date.parse(data.base) + nanoseconds / 1e6).toISOString().slice(11, 23) + " UTC";
}

function shortNumber(number) {
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (number >= size) return (number / size).toPrecision(3).replace(/\.?0+$/, "") + " " + unit;
  }
  return number >= 10 || number === 0 ? String(Math.round(number)) : number.toPrecision(2);
}

// A step of 1, 2 or 5 times a power of ten so that about `wanted` fit into `span`.
function niceStep(span, wanted, least) {
  const raw = Math.max(span / wanted, least);
  const power = 10 ** Math.floor(Math.log10(raw));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999);
}

function* ticks(from, to, step) {
  for (let tick = Math.ceil(from / step); tick * step <= to; tick++) yield tick * step;
}

const view = {
  from: 0,
  to: Math.max(END, 1),

  get span() { return this.to - this.from; },

  // Show `span` instructions from `from` on, as far as the recording has them.
  show(from, span) {
    const whole = Math.max(END, 1);
    const wide = Math.min(Math.max(span, LEAST_SPAN), whole);
    this.from = Math.min(Math.max(from, 0), whole - wide);
    this.to = this.from + wide;
  },

  zoom(factor, around = (this.from + this.to) / 2) {
    const span = Math.min(Math.max(this.span / factor, LEAST_SPAN), Math.max(END, 1));
    this.show(around - (around - this.from) * span / this.span, span);
  },

  pan(share) { this.show(this.from + share * this.span, this.span); },
};

// How many things a track has in [from, to), a mark that stands for several being spread over its span.
function countBetween(track, from, to) {
  let total = 0;
  let mark = firstAt(track, from);
  if (mark > 0 && track.at[mark - 1] + track.span(mark - 1) >= from) mark -= 1;
  if (!track.more) return firstAt(track, to) - mark;
  for (; mark < track.at.length && track.at[mark] < to; mark++) {
    const start = track.at[mark], length = track.span(mark) + 1;
    const overlap = Math.min(to, start + length) - Math.max(from, start);
    if (overlap > 0) total += (1 + track.more(mark)) * Math.min(overlap / length, 1);
  }
  return total;
}

// The mark of a track nearest to an icount, if it is no further than `reach`; -1 if there is none.
function nearest(track, icount, reach) {
  const after = firstAt(track, icount);
  let best = -1, distance = reach;
  for (const mark of [after - 1, after]) {
    if (mark < 0 || mark >= track.at.length) continue;
    const away = Math.max(track.at[mark] - icount, icount - track.at[mark] - track.span(mark), 0);
    if (away <= distance) [best, distance] = [mark, away];
  }
  return best;
}

// What there is to say about a mark: a heading, and lines of details.
function described(track, mark) {
  const icount = track.at[mark], phase = track.phase(mark), text = track.text(mark), more = track.more(mark);
  const heading = more ? `${grouped.format(more + 1)} ${track.name}` : track.one;
  const time = timeAt(icount, phase);
  const lines = [`${more ? "from " : ""}${positionText(icount, phase)}`];
  if (more) lines.push(`to ${positionText(icount + track.span(mark))}`);
  lines.push(`${timeText(time)}, ${dayText(time)}`);
  if (text) lines.push(text + (more ? " ..." : ""));
  return { heading, lines, command: `seek ${positionText(icount, phase)}` };
}
