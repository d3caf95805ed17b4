// Calls with their depth over positions: what was called outermost on top, what it calls below.

import { icountOf, xOf } from "./painting.js";
import { first, grouped, positionText } from "./words.js";

const DEPTH = 16;
const CALL_HUES = 8;

// Who ran is drawn in the same way, all at one depth.

// The slices of each depth, which do not overlap there, in order; found once for a track.
function levels(track) {
  if (!track.levels) {
    track.levels = [];
    for (let mark = 0; mark < track.at.length; mark++) (track.levels[track.depth(mark)] ||= []).push(mark);
  }
  return track.levels;
}

export const flameHeight = (track) => Math.max(levels(track).length, 1) * DEPTH + 4;

// A name has the same colour in every picture.
function hue(name) {
  let sum = 0;
  for (let index = 0; index < name.length; index++) sum = (sum * 31 + name.charCodeAt(index)) >>> 0;
  return `--track-${sum % CALL_HUES}`;
}

const endOf = (track, mark) => track.at[mark] + track.span(mark);

// The track of a chart that was kept in a notebook.
export function keptFlame(name, { every, names, slices }) {
  return {
    name, one: name, kind: "flame", note: "", every, span: slices.map(([, span]) => span),
    at: slices.map(([at], index) => at - (index ? slices[index - 1][0] : 0)),
    depth: slices.map(([, , depth]) => depth), text: slices.map(([, , , number]) => names[number]),
  };
}

export function paintFlame({ context, width, view, palette, row: { track } }) {
  context.font = palette.get("--picture-code");
  context.textBaseline = "middle";
  const ink = palette.get("--ink");
  levels(track).forEach((marks, depth) => {
    const top = depth * DEPTH + 2;
    let index = first(marks, (mark) => endOf(track, mark) > view.from);
    while (index < marks.length && track.at[marks[index]] < view.to) {
      const mark = marks[index], name = track.text(mark);
      const left = Math.max(xOf(view, track.at[mark], width), 0), right = Math.min(xOf(view, endOf(track, mark), width), width);
      const wide = Math.max(right - left, 0.7);
      context.fillStyle = palette.get(hue(name));
      context.globalAlpha = 0.28;
      context.fillRect(left, top, wide, DEPTH - 1);
      context.globalAlpha = 1;
      context.fillRect(left, top, Math.min(wide, 1), DEPTH - 1);
      if (name === track.columns.wanted && wide > 3) {
        context.strokeStyle = ink;
        context.strokeRect(left + 0.5, top + 0.5, wide - 1, DEPTH - 2);
      }
      if (wide > 24) paintName(context, name, left + 4, wide - 6, top + DEPTH / 2, ink);
      // What is thinner than a pixel stands for all in it.
      const rest = icountOf(view, right + 0.7, width);
      index = right - left < 0.7 ? Math.max(first(marks, (other) => endOf(track, other) > rest), index + 1) : index + 1;
    }
  });
}

function paintName(context, name, left, room, middle, ink) {
  const each = context.measureText("m").width, fits = Math.floor(room / each);
  if (fits < 3) return;
  context.fillStyle = ink;
  context.fillText(name.length <= fits ? name : `${name.slice(0, fits - 1)}\u2026`, left, middle);
}

// The call under an icount at a height; a click goes to the last sample there that has it.
export function flameAt(model, track, icount, pixel, y) {
  const marks = levels(track)[track.columns.depth ? Math.floor((y - 2) / DEPTH) : 0];
  if (!marks) return null;
  const mark = marks[first(marks, (other) => endOf(track, other) > icount - pixel / 2)];
  if (mark === undefined || track.at[mark] > icount + pixel / 2) return null;
  const { samples, every } = track.columns;
  const inside = samples ? first(samples, (sample) => sample > Math.max(icount, track.at[mark])) : 0;
  const at = inside ? samples[inside - 1] : track.at[mark], position = positionText(at);
  const length = track.span(mark);
  const lines = [`${positionText(track.at[mark])} to ${positionText(endOf(track, mark))}: ${grouped.format(length)} instructions`];
  if (every > 1) lines.push(`seen each ${grouped.format(every)} instructions: it may have returned in between`);
  if (!track.columns.depth) lines.push(track.one);
  if (every === 1) lines.push("seen at each instruction");
  return { heading: track.text(mark), lines, at, position };
}
