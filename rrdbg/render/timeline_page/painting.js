// How each kind of row is painted. A row has a width in pixels, so there are never more strokes than those.

import { first, grouped, niceStep, positionText, shortNumber, ticks } from "./words.js";

// Room at both ends, so that what lies at the very start or end can be seen and hit.
const EDGE = 6;

export const perPixel = (view, width) => view.span / Math.max(width - 2 * EDGE, 1);
export const xOf = (view, icount, width) => EDGE + (icount - view.from) / perPixel(view, width);
export const icountOf = (view, x, width) => view.from + (x - EDGE) * perPixel(view, width);

// The colours of the page, read once for each scheme: asking the style for each stroke takes longer than drawing it.
export class Palette {
  constructor() { this.forget(); }
  forget() { this.known = new Map(); }

  get(name) {
    if (!this.known.has(name)) {
      this.known.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
    }
    return this.known.get(name);
  }
}

export function paintTicks({ context, width, height, view, palette }) {
  context.fillStyle = palette.get("--grid");
  for (const tick of ticks(view.from, view.to, niceStep(view.span, width / 130, 1))) {
    context.fillRect(Math.round(xOf(view, tick, width)), 0, 1, height);
  }
}

export function paintNote({ context, height, palette }, text) {
  context.fillStyle = palette.get("--muted");
  context.font = palette.get("--picture-font");
  context.textBaseline = "middle";
  context.fillText(text, 8, height / 2);
}

function paintAxis({ context, width, height, view, palette }, marks) {
  context.fillStyle = palette.get("--muted");
  context.font = palette.get("--picture-font");
  context.textBaseline = "middle";
  let free = -Infinity;
  for (const [icount, text] of marks) {
    const x = xOf(view, icount, width), wide = context.measureText(text).width;
    const left = Math.min(Math.max(x - wide / 2, 2), width - wide - 2);
    if (x < -1 || x > width + 1 || left < free) continue;
    context.fillRect(Math.round(x), height - 4, 1, 4);
    context.fillText(text, left, height / 2 - 1);
    free = left + wide + 12;
  }
}

export function paintPositions(on) {
  const step = niceStep(on.view.span, on.width / 130, 1);
  paintAxis(on, [...ticks(on.view.from, on.view.to, step)].map((tick) => [tick, grouped.format(tick)]));
}

export function paintTimes(on) {
  const { model, view, width } = on;
  const start = model.timeAt(view.from), end = model.timeAt(view.to, 1);
  const step = niceStep(Math.max(end - start, 1), width / 110, 1);
  const digits = Math.min(Math.max(9 - Math.floor(Math.log10(step)), 0), 9);
  const marks = [...ticks(start, end, step)].map((tick) => [model.icountAtTime(tick), model.timeText(tick, digits)]);
  paintAxis(on, marks);
}

export function paintRate(on) {
  const { context, width, height, view, palette, row } = on, { track } = row;
  const cell = Math.max(perPixel(view, width) * 3, 1);
  const begin = Math.floor(view.from / cell) * cell;
  const counts = [];
  for (let from = begin; from < view.to; from += cell) counts.push(track.countBetween(from, from + cell));
  const most = Math.max(...counts, 0);
  context.fillStyle = palette.get(row.tint);
  counts.forEach((count, index) => {
    if (!count) return;
    const high = Math.max(count / most * (height - 5), 1.5);
    const left = xOf(view, begin + index * cell, width);
    context.fillRect(left, height - high, Math.max(cell / perPixel(view, width) - 0.7, 1), high);
  });
  row.say(most ? `up to ${shortNumber(most / cell * 1e6)} per 1M instr.` : track.count ? "none here" : "");
}

// The marks in view, one for each pixel that has any: whole columns of marks are passed over by halving.
function* inView({ view, width, row: { track } }) {
  let mark = Math.max(track.firstAt(view.from) - 1, 0);
  while (mark < track.at.length && track.at[mark] <= view.to) {
    const x = xOf(view, track.at[mark], width);
    yield [mark, x];
    const next = mark + 1;
    const near = next < track.at.length && xOf(view, track.at[next], width) - x < 0.7;
    mark = near ? Math.max(track.firstAt(icountOf(view, x + 0.7, width)), next) : next;
  }
}

export function paintMarks(on) {
  const { context, width, height, view, palette, row } = on, { track } = row;
  context.font = palette.get("--picture-font");
  context.textBaseline = "middle";
  const ink = palette.get("--ink"), tint = palette.get(row.tint);
  context.fillStyle = tint;
  let free = -Infinity;
  for (const [mark, x] of inView(on)) {
    const wide = track.span(mark) / perPixel(view, width);
    if (x + wide < 0) continue;
    if (wide > 1) {
      context.globalAlpha = 0.35;
      context.fillRect(x, 5, wide, height - 10);
      context.globalAlpha = 1;
    }
    context.fillRect(x - 0.75, 4, 1.8, height - 8);
    const following = mark + 1 < track.at.length ? xOf(view, track.at[mark + 1], width) : width;
    const room = Math.min(following, width) - x - 12;
    if (room < 40 || x < -5 || x < free) continue;
    const text = track.text(mark);
    if (!text) continue;
    const fits = Math.floor(text.length * room / context.measureText(text).width);
    context.fillStyle = ink;
    if (fits >= text.length) context.fillText(text, x + 5, height / 2);
    else if (fits > 11) context.fillText(`${text.slice(0, fits - 2)}\u2026`, x + 5, height / 2);
    context.fillStyle = tint;
    free = x + 12;
  }
}

export function paintHeights(on) {
  const { context, width, height, palette, row } = on, { track } = row;
  context.fillStyle = palette.get(row.tint);
  for (const [mark, x] of inView(on)) {
    const high = Math.max(track.value(mark) / track.most * (height - 12), 2);
    if (x < -5 || x > width + 5) continue;
    context.fillRect(x - 0.75, height - high, 1.5, high);
    context.beginPath();
    context.arc(x, height - high, 3.5, 0, 2 * Math.PI);
    context.fill();
  }
  if (track.at.length) row.say(`up to ${shortNumber(track.most)}B each`);
}

export function paintSpeed(on) {
  const { context, width, height, view, palette, row, model } = on;
  const { speed } = model.data, { speeds } = model;
  if (!speeds.length) return;
  const slowest = Math.min(...speeds), fastest = Math.max(...speeds);
  const tint = palette.get(row.tint), flat = Math.log(fastest / slowest) || 1;
  for (let index = first(speed, (piece) => piece[1] > view.from); index < speed.length; index++) {
    const [start, end] = speed[index];
    if (start >= view.to) break;
    const left = xOf(view, Math.max(start, view.from), width), right = xOf(view, Math.min(end, view.to), width);
    const high = 4 + Math.log(speeds[index] / slowest) / flat * (height - 9);
    context.globalAlpha = 0.3;
    context.fillStyle = tint;
    context.fillRect(left, height - high, right - left, high);
    context.globalAlpha = 1;
    context.fillRect(left, height - high, Math.max(right - left, 1), 1.8);
  }
  row.say(`${shortNumber(slowest)} to ${shortNumber(fastest)}/s (log)`);
}

// The whole recording, small; what of it is in view is framed.
export function paintOverview(on) {
  const { context, width, height, view, palette, row, cursor, others } = on;
  context.drawImage(backdrop(on, row), 0, 0, width, height);
  context.fillStyle = palette.get("--other");
  for (const { icount } of others) context.fillRect(icount / view.whole * width - 1, 0, 2, height);
  context.fillStyle = palette.get("--cursor");
  if (cursor !== null) context.fillRect(cursor / view.whole * width - 1, 0, 2, height);
  const left = view.from / view.whole * width, wide = Math.max(view.span / view.whole * width, 2);
  context.fillStyle = palette.get("--window");
  context.globalAlpha = 0.13;
  context.fillRect(left, 0, wide, height);
  context.globalAlpha = 1;
  context.strokeStyle = palette.get("--window");
  context.lineWidth = 1.5;
  context.strokeRect(left + 0.75, 0.75, Math.max(wide - 1.5, 1), height - 1.5);
}

// It stays the same while one zooms, so it is painted once for a width and a scheme.
function backdrop({ width, height, view, palette, model, rows }, row) {
  const key = `${width} ${palette.get("--window")}`;
  if (row.backdrop && row.backdrop.key === key) return row.backdrop.canvas;
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(width, 1);
  canvas.height = height;
  const context = canvas.getContext("2d");
  for (const { track, tint } of rows) {
    if (!track || track.kind !== "rate" || !track.count) continue;
    const cell = 2 / width * view.whole;
    const counts = Array.from({ length: Math.ceil(width / 2) },
      (_, index) => track.countBetween(index * cell, (index + 1) * cell));
    const most = Math.max(...counts, 1);
    context.fillStyle = palette.get(tint);
    context.globalAlpha = 0.45;
    counts.forEach((count, index) => {
      if (count) context.fillRect(index * 2, height - count / most * (height - 4), 1.6, count / most * (height - 4));
    });
  }
  row.backdrop = { key, canvas };
  return canvas;
}

// What is found under an icount, for the tip and the click; each gets the model, the icount and a pixel's length.

export function markAt(model, track, icount, pixel) {
  const mark = track.nearest(icount, 8 * pixel);
  if (mark < 0) return null;
  const found = model.described(track, mark);
  const near = track.countBetween(track.at[mark] - 3 * pixel, track.at[mark] + 3 * pixel) - 1 - track.more(mark);
  if (near >= 1) found.lines.push(`and ${grouped.format(Math.round(near))} more close by: zoom in`);
  return found;
}

export function rateAt(model, track, icount, pixel) {
  const cell = Math.max(3 * pixel, 1), from = Math.floor(icount / cell) * cell;
  const count = Math.round(track.countBetween(from, from + cell));
  if (count <= 1) return markAt(model, track, icount, pixel);
  const mark = Math.min(track.firstAt(from), track.at.length - 1);
  const found = model.described(track, mark);
  return {
    ...found, heading: `${grouped.format(count)} ${track.name}`,
    lines: [`${shortNumber(count / cell * 1e6)} per 1M instructions`, `the first: ${found.lines[0]}`, ...found.lines.slice(1)],
  };
}

export function speedAt(model, _track, icount) {
  const { speed } = model.data;
  const index = first(speed, (piece) => piece[1] > icount);
  if (index === speed.length || speed[index][0] > icount) return null;
  const [start, end, seconds] = speed[index];
  return {
    heading: `${shortNumber(model.speeds[index])} instructions/s`,
    lines: [`${positionText(start)} to ${positionText(end)}`, `replayed in ${seconds.toFixed(3)} s`],
    at: icount, position: positionText(icount),
  };
}
