// The page that needs no server: it shows, and copies the command that goes to a place. A program that shows the page
// and can go there itself defines `rrdbgHost` before (editors/vscode does), and tells where the cursor stands.

import { ConsoleList, factsText } from "./console.js";
import { keptFlame } from "./flame.js";
import { Model } from "./model.js";
import { entryNode } from "./notebook.js";
import { Timeline, addButtons } from "./timeline.js";
import { made } from "./words.js";

const element = (id) => document.getElementById(id);
const toast = element("toast");
const host = globalThis.rrdbgHost;
let fading = 0;

function go(place) {
  if (host) host.go(place.position);
  else copy(place);
}

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
  go,
  hint: (position) => (host ? `click: go to ${position}` : `click: copy seek ${position}`),
  shown: (text) => {
    element("range").textContent = text;
    if (printed) printed.refresh();
  },
});
printed = new ConsoleList(element("lines"), element("console-title"), timeline, go);
addButtons(timeline);
element("kept").append(...(model.data.notebook || []).map((entry, index) => entryNode(entry, index + 1, { go })));
for (const { title, flame } of model.data.notebook || []) if (flame) timeline.update(keptFlame(title, flame));
if (host) {
  element("click").textContent = "go there";
  host.follow((icount, phase) => {
    timeline.stand(icount, phase);
    printed.refresh();
  });
}
element("facts").textContent = factsText(model);

document.addEventListener("keydown", (event) => {
  const elsewhere = event.target.closest("button, #lines") && ["Enter", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key);
  if (elsewhere || event.ctrlKey || event.metaKey || event.altKey) return;
  if (timeline.key(event.key)) event.preventDefault();
});

globalThis.rrdbg = { model, timeline };
