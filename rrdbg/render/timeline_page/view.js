
// Drawing the tracks, and what the mouse and the keyboard do.

const rows = [];
const element = (id) => document.getElementById(id);
const tip = element("tip"), crosshair = element("crosshair"), toast = element("toast");
let chosen = -1;
let scheduled = false;

function made(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

// A row: `draw` paints it, `at` tells what is under an x: a heading, lines and a command.
function addRow(name, height, draw, at, options = {}) {
  const node = made("div", `row ${options.className || ""}`);
  const label = made("div", "label");
  const title = made("b", "", name);
  if (options.count) title.append(made("i", "", options.count));
  label.append(title);
  const small = options.small ? made("small", "", "") : null;
  if (small) label.append(small);
  if (options.colour) label.style.setProperty("--colour", `var(${options.colour})`);
  const canvas = document.createElement("canvas");
  canvas.style.height = `${height}px`;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", options.spoken || name);
  node.dataset.track = name;
  node.append(label, canvas);
  element("rows").append(node);
  rows.push({ node, canvas, small, height, draw, at, track: options.track, tint: options.colour });
}

// Room at both ends, so that what lies at the very start or end can be seen and hit.
const EDGE = 6;
const perPixel = (width) => view.span / Math.max(width - 2 * EDGE, 1);
const xOf = (icount, width) => EDGE + (icount - view.from) / perPixel(width);
const icountOf = (x, width) => view.from + (x - EDGE) * perPixel(width);

function drawTicks(context, width, height) {
  context.fillStyle = colour("--grid");
  for (const tick of ticks(view.from, view.to, niceStep(view.span, width / 130, 1))) {
    context.fillRect(Math.round(xOf(tick, width)), 0, 1, height);
  }
}

function drawAxis(context, width, height, marks) {
  context.fillStyle = colour("--muted");
  context.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  context.textBaseline = "middle";
  let free = -Infinity;
  for (const [icount, text] of marks) {
    const x = xOf(icount, width), wide = context.measureText(text).width;
    const left = Math.min(Math.max(x - wide / 2, 2), width - wide - 2);
    if (x < -1 || x > width + 1 || left < free) continue;
    context.fillRect(Math.round(x), height - 4, 1, 4);
    context.fillText(text, left, height / 2 - 1);
    free = left + wide + 12;
  }
}

function drawPositions(context, width, height) {
  const step = niceStep(view.span, width / 130, 1);
  drawAxis(context, width, height, [...ticks(view.from, view.to, step)].map((tick) => [tick, grouped.format(tick)]));
}

function drawTimes(context, width, height) {
  const start = timeAt(view.from), end = timeAt(view.to, 1);
  const step = niceStep(Math.max(end - start, 1), width / 110, 1);
  const digits = Math.min(Math.max(9 - Math.floor(Math.log10(step)), 0), 9);
  const marks = [...ticks(start, end, step)].map((tick) => [icountAtTime(tick), timeText(tick, digits)]);
  drawAxis(context, width, height, marks);
}

function drawRate(context, width, height, row) {
  const { track } = row;
  const cell = Math.max(perPixel(width) * 3, 1);
  const begin = Math.floor(view.from / cell) * cell;
  const counts = [];
  for (let from = begin; from < view.to; from += cell) counts.push(countBetween(track, from, from + cell));
  const most = Math.max(...counts, 0);
  context.fillStyle = colour(row.tint);
  counts.forEach((count, index) => {
    if (!count) return;
    const high = Math.max(count / most * (height - 5), 1.5);
    const left = xOf(begin + index * cell, width);
    context.fillRect(left, height - high, Math.max(cell / perPixel(width) - 0.7, 1), high);
  });
  row.small.textContent = most ? `up to ${shortNumber(most / cell * 1e6)} per 1M instr.` : track.count ? "none here" : "";
}

function drawMarks(context, width, height, row) {
  const { track } = row;
  context.fillStyle = colour(row.tint);
  context.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  context.textBaseline = "middle";
  const ink = colour("--ink"), tint = colour(row.tint);
  let last = -2;
  for (let mark = Math.max(firstAt(track, view.from) - 1, 0); mark < track.at.length && track.at[mark] <= view.to; mark++) {
    const x = xOf(track.at[mark], width), wide = track.span(mark) / perPixel(width);
    if (x + wide < 0) continue;
    if (wide > 1) {
      context.globalAlpha = 0.35;
      context.fillRect(x, 5, wide, height - 10);
      context.globalAlpha = 1;
    }
    if (x - last < 0.7) continue;
    last = x;
    context.fillRect(x - 0.75, 4, 1.8, height - 8);
    const following = mark + 1 < track.at.length ? xOf(track.at[mark + 1], width) : width;
    const room = Math.min(following, width) - x - 12;
    const text = track.text(mark);
    if (!text || room < 40 || x < -5) continue;
    const fits = Math.floor(text.length * room / context.measureText(text).width);
    context.fillStyle = ink;
    if (fits >= text.length) context.fillText(text, x + 5, height / 2);
    else if (fits > 11) context.fillText(`${text.slice(0, fits - 2)}\u2026`, x + 5, height / 2);
    context.fillStyle = tint;
  }
}

function drawHeights(context, width, height, row) {
  const { track } = row;
  const values = Array.from(track.at, (_, mark) => track.value(mark));
  const most = Math.max(...values, 1);
  context.fillStyle = colour(row.tint);
  values.forEach((value, mark) => {
    const x = xOf(track.at[mark], width), high = Math.max(value / most * (height - 12), 2);
    if (x < -5 || x > width + 5) return;
    context.fillRect(x - 0.75, height - high, 1.5, high);
    context.beginPath();
    context.arc(x, height - high, 3.5, 0, 2 * Math.PI);
    context.fill();
  });
  if (track.at.length) row.small.textContent = `up to ${shortNumber(most)}B each`;
}

const speeds = data.speed.map(([start, end, seconds]) => (end - start) / Math.max(seconds, 1e-9));
const slowest = Math.min(...speeds), fastest = Math.max(...speeds);

function drawSpeed(context, width, height, row) {
  const tint = colour(row.tint), flat = Math.log(fastest / slowest) || 1;
  for (let index = first(data.speed, (piece) => piece[1] > view.from); index < data.speed.length; index++) {
    const [start, end] = data.speed[index];
    if (start >= view.to) break;
    const left = xOf(Math.max(start, view.from), width), right = xOf(Math.min(end, view.to), width);
    const high = 4 + Math.log(speeds[index] / slowest) / flat * (height - 9);
    context.globalAlpha = 0.3;
    context.fillStyle = tint;
    context.fillRect(left, height - high, right - left, high);
    context.globalAlpha = 1;
    context.fillRect(left, height - high, Math.max(right - left, 1), 1.8);
  }
  if (speeds.length) row.small.textContent = `${shortNumber(slowest)} to ${shortNumber(fastest)}/s (log)`;
}

function drawOverview(context, width, height) {
  const whole = Math.max(END, 1);
  for (const { track, tint } of rows) {
    if (!track || track.kind !== "rate" || !track.count) continue;
    const counts = Array.from({ length: Math.ceil(width / 2) },
      (_, index) => countBetween(track, index * 2 / width * whole, (index + 1) * 2 / width * whole));
    const most = Math.max(...counts, 1);
    context.fillStyle = colour(tint);
    context.globalAlpha = 0.45;
    counts.forEach((count, index) => {
      if (count) context.fillRect(index * 2, height - count / most * (height - 4), 1.6, count / most * (height - 4));
    });
    context.globalAlpha = 1;
  }
  const left = view.from / whole * width, wide = Math.max(view.span / whole * width, 2);
  context.fillStyle = colour("--window");
  context.globalAlpha = 0.13;
  context.fillRect(left, 0, wide, height);
  context.globalAlpha = 1;
  context.strokeStyle = colour("--window");
  context.lineWidth = 1.5;
  context.strokeRect(left + 0.75, 0.75, Math.max(wide - 1.5, 1), height - 1.5);
}

function paint() {
  scheduled = false;
  for (const row of rows) {
    const width = row.canvas.clientWidth, scale = window.devicePixelRatio || 1;
    row.canvas.width = Math.round(width * scale);
    row.canvas.height = Math.round(row.height * scale);
    const context = row.canvas.getContext("2d");
    context.scale(scale, scale);
    if (row.track || row.tint) drawTicks(context, width, row.height);
    if (row.track && !row.track.at.length || row.tint && !row.track && !speeds.length) {
      context.fillStyle = colour("--muted");
      context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
      context.textBaseline = "middle";
      context.fillText(row.track ? row.track.note || "none" : "not measured yet: 'rrdbg index' does", 8, row.height / 2);
    } else {
      row.draw(context, width, row.height, row);
    }
  }
  const share = view.span / Math.max(END, 1) * 100;
  const time = timeAt(view.to, 1) - timeAt(view.from);
  element("range").textContent = `${positionText(view.from)} to ${positionText(view.to)} ` +
    `(${share >= 10 ? share.toFixed(0) : share.toPrecision(2)}%), ${timeText(time, 6)}`;
  element("tracks").dataset.from = view.from;
  element("tracks").dataset.to = view.to;
}

let listing = 0;

function refresh() {
  if (!scheduled) {
    scheduled = true;
    requestAnimationFrame(paint);
  }
  clearTimeout(listing);
  listing = setTimeout(listConsole, 60);
}

const LISTED = 400;
const EARLIER = 12;
const consoleTrack = tracks.find((track) => track.name === "console");

function consoleLine(mark, earlier) {
  const icount = consoleTrack.at[mark], phase = consoleTrack.phase(mark), more = consoleTrack.more(mark);
  const button = made("button", earlier ? "earlier" : "");
  button.type = "button";
  button.dataset.mark = mark;
  button.append(
    made("span", "at", positionText(icount, phase)),
    made("span", "time", timeText(timeAt(icount, phase))),
    made("span", "said", consoleTrack.text(mark) + (more ? ` (and ${grouped.format(more)} more)` : "")));
  const item = made("li");
  item.append(button);
  return item;
}

// The lines that are printed in view; where they are few, also what stands above them on the guest's console.
function listConsole() {
  const from = firstAt(consoleTrack, view.from), to = firstAt(consoleTrack, view.to + 1);
  const start = Math.max(from - Math.max(EARLIER - (to - from), 0), 0), end = Math.min(to, from + LISTED);
  element("console-title").textContent = consoleTrack.count
    ? `Console: ${grouped.format(consoleTrack.before[to] - consoleTrack.before[from])} of ` +
      `${grouped.format(consoleTrack.count)} lines in view`
    : `Console: ${consoleTrack.note}`;
  const items = [];
  for (let mark = start; mark < end; mark++) items.push(consoleLine(mark, mark < from));
  if (end < to) items.push(made("li", "more", `${grouped.format(to - end)} more: zoom in to see them`));
  element("lines").replaceChildren(...items);
}
