// The page that needs no server: it shows, and copies the command that goes to a place.

import { ConsoleList, factsText } from "./console.js";
import { keptFlame } from "./flame.js";
import { Model } from "./model.js";
import { entryNode } from "./notebook.js";
import { Timeline, addButtons } from "./timeline.js";
import { made } from "./words.js";

const element = (id) => document.getElementById(id);
const toast = element("toast");
let fading = 0;

async function copy({ position }) {
  const text = `seek ${position}`;
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
  clearTimeout(fading);
  fading = setTimeout(() => toast.classList.remove("shown"), 2500);
}

const model = new Model(JSON.parse(element("data").textContent));
let printed = null;
const timeline = new Timeline(element("tracks"), model, {
  go: copy,
  hint: (position) => `click: copy seek ${position}`,
  shown: (text) => {
    element("range").textContent = text;
    if (printed) printed.refresh();
  },
});
printed = new ConsoleList(element("lines"), element("console-title"), timeline, copy);
addButtons(timeline);
element("kept").append(...(model.data.notebook || []).map((entry, index) => entryNode(entry, index + 1, { go: copy })));
for (const { title, flame } of model.data.notebook || []) if (flame) timeline.update(keptFlame(title, flame));
element("facts").textContent = factsText(model);

document.addEventListener("keydown", (event) => {
  const elsewhere = event.target.closest("button, #lines") && ["Enter", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key);
  if (elsewhere || event.ctrlKey || event.metaKey || event.altKey) return;
  if (timeline.key(event.key)) event.preventDefault();
});

globalThis.rrdbg = { model, timeline };
