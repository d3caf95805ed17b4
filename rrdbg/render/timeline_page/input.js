
// What the mouse and the keyboard do.

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A page that was opened from a file may not be allowed to use the clipboard's newer interface.
    const area = made("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast.textContent = `Copied: ${text}`;
  toast.classList.add("shown");
  clearTimeout(copy.timer);
  copy.timer = setTimeout(() => toast.classList.remove("shown"), 2500);
}

// What is under x in a row; without a track's mark there, the place itself.
function under(row, x, width) {
  const icount = icountOf(x, width);
  return (row.at && row.at(icount, perPixel(width))) || placeAt(icount);
}

function placeAt(icount) {
  const at = Math.round(Math.min(Math.max(icount, 0), END));
  const time = timeAt(at);
  return {
    heading: positionText(at), lines: [`${timeText(time)}, ${dayText(time)}`], command: `seek ${positionText(at)}`, at,
  };
}

function markAt(track) {
  return (icount, pixel) => {
    const mark = nearest(track, icount, 8 * pixel);
    if (mark < 0) return null;
    const found = described(track, mark);
    const near = countBetween(track, track.at[mark] - 3 * pixel, track.at[mark] + 3 * pixel) - 1 - track.more(mark);
    if (near >= 1) found.lines.push(`and ${grouped.format(Math.round(near))} more close by: zoom in`);
    return { ...found, at: track.at[mark] };
  };
}

function rateAt(track) {
  return (icount, pixel) => {
    const cell = Math.max(3 * pixel, 1), from = Math.floor(icount / cell) * cell;
    const count = Math.round(countBetween(track, from, from + cell));
    if (count <= 1) return markAt(track)(icount, pixel);
    const mark = Math.min(firstAt(track, from), track.at.length - 1);
    const found = described(track, mark);
    return {
      ...found, at: track.at[mark], heading: `${grouped.format(count)} ${track.name}`,
      lines: [`${shortNumber(count / cell * 1e6)} per 1M instructions`, `the first: ${found.lines[0]}`, ...found.lines.slice(1)],
    };
  };
}

function speedAt(icount) {
  const index = first(data.speed, (piece) => piece[1] > icount);
  if (index === data.speed.length || data.speed[index][0] > icount) return null;
  const [start, end, seconds] = data.speed[index];
  return {
    heading: `${shortNumber(speeds[index])} instructions/s`,
    lines: [`${positionText(start)} to ${positionText(end)}`, `replayed in ${seconds.toFixed(3)} s`],
    command: `seek ${positionText(icount)}`, at: icount,
  };
}

function showTip(found, x, y) {
  tip.replaceChildren(made("b", "", found.heading), [...found.lines, `click: copy ${found.command}`].join("\n"));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(Math.min(x + 14, innerWidth - width - 8), 4)}px`;
  tip.style.top = `${y + 18 + height > innerHeight ? y - height - 12 : y + 18}px`;
}

function showCrosshair(icount) {
  const { canvas } = rows[1], width = canvas.clientWidth, x = xOf(icount, width);
  crosshair.hidden = x < 0 || x > width;
  crosshair.style.left = `${canvas.offsetLeft + x}px`;
}

function hide() { tip.hidden = true; crosshair.hidden = true; }

function rowOf(event) { return rows.find((row) => row.canvas === event.target); }

let dragged = null;
const surface = element("tracks");

surface.addEventListener("pointerdown", (event) => {
  const row = rowOf(event);
  if (!row || event.button !== 0) return;
  row.canvas.setPointerCapture(event.pointerId);
  dragged = { x: event.clientX, from: view.from, moved: false, row };
  if (row.node.classList.contains("overview")) moveWindow(event, row);
});

surface.addEventListener("pointermove", (event) => {
  const row = dragged ? dragged.row : rowOf(event);
  if (!row) return hide();
  const x = event.clientX - row.canvas.getBoundingClientRect().left, width = row.canvas.clientWidth;
  if (dragged) {
    if (Math.abs(event.clientX - dragged.x) > 3) dragged.moved = true;
    if (!dragged.moved) return;
    hide();
    if (row.node.classList.contains("overview")) moveWindow(event, row);
    else view.show(dragged.from - (event.clientX - dragged.x) * perPixel(width), view.span);
    return refresh();
  }
  if (row.node.classList.contains("overview")) return hide();
  const found = under(row, x, width);
  showTip(found, event.clientX, event.clientY);
  showCrosshair(found.at);
});

surface.addEventListener("pointerup", (event) => {
  if (!dragged) return;
  const { row, moved } = dragged;
  dragged = null;
  if (moved || row.node.classList.contains("overview")) return;
  const x = event.clientX - row.canvas.getBoundingClientRect().left;
  choose(rows.indexOf(row));
  copy(under(row, x, row.canvas.clientWidth).command);
});

surface.addEventListener("pointercancel", () => { dragged = null; });
surface.addEventListener("pointerleave", () => { if (!dragged) hide(); });

function moveWindow(event, row) {
  const box = row.canvas.getBoundingClientRect();
  view.show((event.clientX - box.left) / box.width * Math.max(END, 1) - view.span / 2, view.span);
  refresh();
}

surface.addEventListener("wheel", (event) => {
  const row = rowOf(event);
  if (!row) return;
  event.preventDefault();
  const box = row.canvas.getBoundingClientRect();
  const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
  if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) view.pan(sideways / box.width);
  else view.zoom(1.0025 ** -event.deltaY, icountOf(event.clientX - box.left, box.width));
  hide();
  refresh();
}, { passive: false });

surface.addEventListener("dblclick", (event) => {
  const row = rowOf(event);
  if (!row) return;
  const box = row.canvas.getBoundingClientRect();
  view.zoom(4, icountOf(event.clientX - box.left, box.width));
  refresh();
});

function choose(index) {
  if (!rows[index] || !rows[index].track) return;
  rows.forEach((row, other) => row.node.classList.toggle("chosen", other === index));
  chosen = index;
}

function chooseNext(by) {
  let index = chosen;
  do index += by; while (rows[index] && !rows[index].track);
  if (!rows[index]) return;
  choose(index);
  marked = -1;
  element("details").textContent = `${rows[index].track.name}: ${grouped.format(rows[index].track.count)}`;
}

let marked = -1;

// Go to the next (1) or the previous (-1) mark of the chosen track, and say what it is.
function step(by) {
  if (chosen < 0) choose(rows.findIndex((row) => row.track));
  const { track, canvas } = rows[chosen];
  const middle = (view.from + view.to) / 2;
  const next = marked >= 0 ? marked + by : by > 0 ? firstAt(track, view.from) : firstAt(track, middle) - 1;
  if (next < 0 || next >= track.at.length) return;
  marked = next;
  const at = track.at[marked];
  if (at < view.from || at > view.to) view.show(at - view.span / 2, view.span);
  refresh();
  const found = described(track, marked), box = canvas.getBoundingClientRect();
  showTip(found, box.left + xOf(at, box.width), box.top + box.height / 2);
  showCrosshair(at);
  element("details").textContent = [found.heading, ...found.lines].join(", ");
}

const KEYS = {
  "+": () => view.zoom(2), "=": () => view.zoom(2), "-": () => view.zoom(0.5), "0": () => view.show(0, END),
  ArrowLeft: () => view.pan(-0.2), ArrowRight: () => view.pan(0.2), Home: () => view.show(0, view.span),
  End: () => view.show(END, view.span), ArrowUp: () => chooseNext(-1), ArrowDown: () => chooseNext(1),
  n: () => step(1), p: () => step(-1), Escape: hide,
  Enter: () => { if (chosen >= 0 && marked >= 0) copy(described(rows[chosen].track, marked).command); },
};

document.addEventListener("keydown", (event) => {
  const act = KEYS[event.key];
  const elsewhere = event.target.closest("button, #lines") && ["Enter", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key);
  if (!act || elsewhere || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  if (!["n", "p", "Enter"].includes(event.key)) hide();
  act();
  refresh();
});

for (const [id, key] of [["left", "ArrowLeft"], ["right", "ArrowRight"], ["in", "+"], ["out", "-"], ["all", "0"]]) {
  element(id).addEventListener("click", () => { KEYS[key](); hide(); refresh(); });
}

element("lines").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) copy(described(consoleTrack, Number(button.dataset.mark)).command);
});
element("lines").addEventListener("pointerover", (event) => {
  const button = event.target.closest("button");
  if (button) showCrosshair(consoleTrack.at[Number(button.dataset.mark)]);
});
element("lines").addEventListener("pointerleave", hide);

element("facts").textContent = [
  `${positionText(END)} instructions`, `${timeText(timeAt(END, 1), 3)} of guest time`, ...data.facts,
].join(" \u00b7 ");

addRow("whole", 26, drawOverview, null, { className: "overview axis", spoken: "The whole recording, and the part in view" });
addRow("position", 22, drawPositions, null, { className: "axis" });
for (const track of tracks) {
  const [height, draw, at] = {
    heights: [40, drawHeights, markAt], rate: [42, drawRate, rateAt], marks: [22, drawMarks, markAt],
  }[track.kind];
  const count = grouped.format(track.count);
  addRow(track.name, height, draw, at(track), {
    track, count, colour: `--track-${track.index % 8}`, small: track.kind !== "marks", spoken: `${track.name}: ${count}`,
  });
}
addRow("replay speed", 40, drawSpeed, speedAt, { colour: "--track-7", small: true });
addRow("guest time", 22, drawTimes, null, { className: "axis" });

new ResizeObserver(refresh).observe(surface);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);
refresh();
