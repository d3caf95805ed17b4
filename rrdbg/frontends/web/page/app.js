// The page: what is run, what is shown, and what keys and clicks do.

import { Answers } from "./answers.js";
import { Book } from "./book.js";
import { ConsoleList, factsText } from "./console.js";
import { Link } from "./link.js";
import { closeMenu, openMenu } from "./menu.js";
import { Model } from "./model.js";
import { PlaceView } from "./place.js";
import { Search } from "./search.js";
import { spread } from "./spread.js";
import { Timeline, addButtons } from "./timeline.js";
import { made } from "./words.js";

const element = (id) => document.getElementById(id);

const BACK = [
  ["|<", "start", "To the start"], ["rc", "reverse-continue", "Back to the hit before"],
  ["rfinish", "reverse-finish", "Back to where this function was called"],
  ["rn", "reverse-next", "Back a line, over calls"], ["rs", "reverse-step", "Back a line, into calls"],
  ["rni", "reverse-nexti", "Back an instruction, over calls"], ["rsi", "reverse-stepi", "Back an instruction"],
];
const FORTH = [
  ["si", "stepi", "On an instruction"], ["ni", "nexti", "On an instruction, over calls"],
  ["s", "step", "On a line, into calls"], ["n", "next", "On a line, over calls"],
  ["finish", "finish", "On to the end of this function"], ["c", "continue", "On to the next hit"], [">|", "end", "To the end"],
];
const LEVELS = [["u", "up", "Look at the caller"], ["d", "down", "Look at the function that was called"]];
// Without a GDB there are no lines and no functions to go by.
const WITHOUT_GDB = new Set(["start", "end", "stepi", "reverse-stepi", "continue", "reverse-continue", "finish"]);
const LETTERS = new Map([...BACK, ...FORTH, ...LEVELS].map(([letters, line]) => [letters, line]));
// What may be run since an address says so: it asks, and changes nothing.
const QUESTION = /^(last|first|writes|reads|calls|profile|count|nth|origin|tprintf|events|console|strace|info)\b/;

// Lines of source on each side, and characters in all, that the notebook keeps of a place.
const KEPT_LINES = 4, KEPT_TEXT = 20000;

const link = new Link();
const command = element("command");
const typed = [];
let codeChosen = false, recalled = 0, timeline = null, printed = null, answers = null, running = 0, asked = "";

function say(text, kind = "") {
  element("said").textContent = text;
  element("said").className = kind;
}

function busy(by) {
  running += by;
  element("stop").disabled = !running;
  document.body.classList.toggle("running", running > 0);
  if (!running) element("progress").hidden = true;
}

// A line has ended when what it led to is shown; the place comes by another way than the answers.
let shownTurn = 0, following = true;
const awaited = new Set();

function turned(turn) {
  shownTurn = Math.max(shownTurn, turn);
  for (const wait of awaited) if (!following || wait.turn <= shownTurn) { awaited.delete(wait); wait.done(); }
}

function placeOf(turn) {
  if (!following || turn <= shownTurn) return null;
  return new Promise((done) => awaited.add({ turn, done }));
}

async function run(line) {
  line = LETTERS.get(line) || line;
  if (QUESTION.test(line)) asked = line;
  const answer = answers.begin(line);
  say("");
  busy(1);
  let turn = 0;
  try {
    await link.run(line, (told) => {
      if (told.type === "answer") {
        if (told.kind === "stopped") say(told.text.split("\n").slice(0, 6).join("\n"));
        else answer.take(told);
      } else {
        turn = told.turn || 0;
        answer.end(told);
        if (answer.remark) say(answer.remark);
        if (told.type !== "done") say(told.text, told.type === "error" ? "error" : "");
      }
    });
    await placeOf(turn);
  } catch (error) {
    say(error.message, "error");
  } finally {
    busy(-1);
  }
}

const inView = () => `from ${Math.floor(timeline.view.from)} to ${Math.ceil(timeline.view.to)}`;

const go = (position) => run(`seek ${position}`);

function lookAt(address) {
  element("address").value = address;
  showTab("memory");
}

const ask = {
  // `pointed` is an expression of the address that the value itself is.
  value(anchor, expression, pointed = expression) {
    const choices = [
      ["Last write", `last ${expression}`], ["First write", `first ${expression}`],
      ["All writes", `writes ${expression}`], ["Where it came from", `origin ${expression}`],
    ];
    const itself = expression.startsWith("*") ? expression.slice(1).replace(/:\d+$/, "") : `&(${expression})`;
    openMenu(anchor, expression, [
      ...choices.map(([text, line]) => [text, line, () => run(line)]),
      ["Its memory", itself, () => lookAt(itself)], ["Memory it points to", "", () => lookAt(pointed)],
    ]);
  },
  register(anchor, name) {
    const line = `origin $${name}`;
    openMenu(anchor, `$${name}`, [
      ["Where it came from", line, () => run(line)], ["Memory it points to", "", () => lookAt(`$${name}`)],
    ]);
  },
  function(anchor, name) {
    openMenu(anchor, name, [
      ["All calls", `calls ${name}`, () => run(`calls ${name}`)],
      ["Flame chart in view", `profile ${name}`, () => run(`profile ${name} ${inView()}`)],
      ["Back to the call before", `previous-hit ${name}`, () => run(`previous-hit ${name}`)],
      ["On to the next call", `next-hit ${name}`, () => run(`next-hit ${name}`)],
      // Of a file of bare symbols GDB takes variables for functions.
      ["Its memory", `&${name}`, () => lookAt(`&${name}`)],
    ]);
  },
};

const view = new PlaceView({ link, ask, run, fail: (error) => say(error.message, "error") });

function showPlace(place) {
  view.show(place);
  if (!codeChosen) showTab(place.source ? "source" : "instructions");
  timeline.stand(place.position.icount, place.position.phase);
  const { at, rest } = view.positionText(), frame = view.frame;
  const where = [frame && frame.function !== "??" ? frame.function : place.pc, place.task].filter(Boolean).join(" in ");
  element("position").replaceChildren(made("b", "", at), made("span", "", rest), made("span", "place-name", where));
  element("position").dataset.at = at;
  printed.fill();
  for (const button of document.querySelectorAll("[data-line]")) {
    button.disabled = !place.gdb && !WITHOUT_GDB.has(button.dataset.line);
  }
  const address = new URLSearchParams({ at: at.replaceAll(",", "") });
  if (asked) address.set("ask", asked);
  history.replaceState(null, "", `?${address}`);
}

// What is kept of the place where the cursor is: the calls, the lines of source around, and the variables.
function kept() {
  const { frames = [], locals = [], source, position, pc } = view.place, frame = view.frame;
  const line = (known) => known.line ? ` at ${known.path.split("/").pop()}:${known.line}` : "";
  const stack = frames.map((known) => `#${known.level}  ${known.function} (${known.arguments.map(([name, value]) => `${name}=${value}`).join(", ")})${line(known)}`);
  const lines = source ? source.lines.map((text, index) => [source.first + index, text]) : [];
  const near = lines.filter(([number]) => Math.abs(number - source.line) <= KEPT_LINES)
    .map(([number, text]) => `${number === source.line ? "=>" : "  "} ${String(number).padStart(5)}  ${text}`);
  const values = locals.map(({ name, value }) => `${name} = ${value}`);
  const text = [stack, near, values].filter((part) => part.length).map((part) => part.join("\n")).join("\n\n");
  // By letters, of which none is to be cut in two.
  return { position, where: frame ? frame.function + line(frame) : pc, text: [...text].slice(0, KEPT_TEXT).join("") };
}

function take(told) {
  if (told.type === "place") showPlace(told);
  else if (told.type === "clients") timeline.meet(told.clients);
  else if (told.type === "tracks") {
    for (const track of told.tracks) timeline.update(track);
    for (const track of told.who.reverse()) timeline.update(track, true);
  }
  else if (told.type === "progress" && running) {
    element("progress").hidden = false;
    element("done").style.width = `${Math.round(told.share * 100)}%`;
    element("rest").textContent = `${Math.round(told.share * 100)}%, ${told.left.toFixed(0)} s of replay left at most`;
  } else if (told.type === "error") say(told.text, "error");
  if (told.turn !== undefined) turned(told.turn);
}

function showTab(name) {
  const chosen = document.querySelector(`[data-tab="${name}"]`);
  for (const tab of chosen.parentElement.querySelectorAll("[data-tab]")) {
    tab.setAttribute("aria-selected", tab === chosen);
    element(tab.dataset.tab).hidden = tab !== chosen;
  }
  if (name === "memory") view.showMemory();
  if (name === "instructions") view.showInstructions();
  if (name === "source" && view.place) view.showSource();
}

function addLetters(bar, letters) {
  for (const [text, line, title] of letters) {
    const button = made("button", "", text);
    button.type = "button";
    button.title = `${title} (${line})`;
    button.dataset.line = line;
    button.setAttribute("aria-label", title);
    button.addEventListener("click", () => run(line));
    bar.append(button);
  }
}

element("commanding").addEventListener("submit", (event) => {
  event.preventDefault();
  const line = command.value.trim() || typed.at(-1);
  if (!line) return;
  if (typed.at(-1) !== line) typed.push(line);
  recalled = typed.length;
  command.value = "";
  run(line);
});
command.addEventListener("keydown", (event) => {
  const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!by) return;
  event.preventDefault();
  recalled = Math.min(Math.max(recalled + by, 0), typed.length);
  command.value = typed[recalled] || "";
});
element("stop").addEventListener("click", () => link.cancel());

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey && event.key === "c" && running && !String(getSelection())) { event.preventDefault(); link.cancel(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    closeMenu();
    if (running) link.cancel();
    if (event.target.matches("input")) event.target.blur();
  }
  if (event.target.matches("input, textarea")) return;
  const onControl = event.target.closest("button, [tabindex]:not(#tracks)");
  if (onControl && ["Enter", " ", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) return;
  if (event.key === "/") { event.preventDefault(); element("search").focus(); return; }
  if (/^[a-z]$/i.test(event.key)) { command.focus(); return; }
  if (event.key === "Enter" && timeline.marked < 0) { event.preventDefault(); command.form.requestSubmit(); return; }
  if (timeline && timeline.key(event.key)) event.preventDefault();
});

for (const tab of document.querySelectorAll("[data-tab]")) {
  tab.addEventListener("click", () => {
    // Until somebody chooses, the source is shown where there is some.
    codeChosen ||= ["source", "instructions"].includes(tab.dataset.tab);
    showTab(tab.dataset.tab);
  });
}

async function begin() {
  addLetters(element("back"), BACK);
  addLetters(element("forth"), FORTH);
  addLetters(element("levels"), LEVELS);
  showTab("source");
  showTab("console");
  spread(showTab);
  const model = new Model(await link.timeline());
  document.title = `${model.name} - rrdbg`;
  element("name").textContent = model.name;
  element("facts").textContent = factsText(model);
  timeline = new Timeline(element("tracks"), model, {
    compact: true,
    go: ({ position }) => go(position),
    hint: (position) => `click: go to ${position}`,
    shown: (text) => { element("range").textContent = text; },
    offers: { "who ran": { text: "Look", act: () => run("info ran") } },
  });
  printed = new ConsoleList(element("lines"), element("console-title"), timeline, ({ position }) => go(position));
  answers = new Answers(element("answers"), { timeline, go, run, ask, keep: (answer) => { showTab("notebook"); book.keep(answer); }, shown: () => showTab("answers") });
  const book = new Book(element("notebook"), { link, go, place: kept, say });
  book.load().catch((error) => say(error.message, "error"));
  addButtons(timeline);
  element("flame").addEventListener("click", () => run(`profile ${inView()}`));
  new Search({ link, model, go, ask });
  globalThis.rrdbg = { model, timeline, view };
  const wanted = new URLSearchParams(location.search);
  link.follow(take).catch((error) => error).then((error) => {
    following = false;
    turned(0);
    say(error ? error.message : "rrdbg has ended; this page shows where it was.", "error");
  });
  if (wanted.get("at")) await go(wanted.get("at"));
  const question = wanted.get("ask") || "";
  if (QUESTION.test(question)) await run(question);
  else if (question) command.value = question;
}

begin().catch((error) => say(error.message, "error"));
