// What was asked, and what was found: a table that fills while it is found, and marks on the timeline.

import { Stacks } from "./stacks.js";
import { grouped, made, positionText, withHex } from "./words.js";

const FILL_MS = 80;
const FUNCTIONS = ["function", "caller"];
const MOST_ROWS = 2000;
// What these say is a remark, and no answer to be kept.
const REMARKS = /^(up|down|frame|t?break|hbreak|delete|enable|disable|condition|ignore|[ra]?watch|bookmark|snapshot|checkpoint)\b/;
// These have a track of their own already.
const DRAWN = /^info ran\b/;

// `timeline` gets the marks, `go` is called with a position as text, `run` with a command, `ask` opens the menu of a
// function, `keep` puts an answer into the notebook.
export class Answers {
  constructor(list, { timeline, go, run, ask, keep, shown }) {
    Object.assign(this, { list, timeline, go, run, ask, keep, shown });
    this.list.append(made("p", "note", "Click on a value, a function or a line of the console to ask about it, or write a command."));
  }

  begin(line) { return new Answer(this, line); }
}

// A cell that does something.
function pressed(className, text, title, act) {
  const cell = made("td"), button = made("button", className, text);
  button.type = "button";
  button.title = title;
  button.addEventListener("click", () => act(button));
  cell.append(button);
  return cell;
}

// The answer to one line. It takes its place in the list when there is something to be shown.
class Answer {
  constructor(answers, line) {
    Object.assign(this, { answers, line, rows: [], texts: [], waiting: [], timer: 0, columns: null, count: 0, stacks: null });
    this.node = null;
  }

  place() {
    if (this.node) return;
    this.node = made("article", "answer");
    const head = made("header"), keep = made("button", "", "Keep"), drop = made("button", "", "\u00d7");
    this.state = made("span", "state", "...");
    keep.type = drop.type = "button";
    keep.title = "Keep it in the notebook";
    drop.setAttribute("aria-label", "Take this answer away");
    keep.addEventListener("click", () => this.answers.keep(this));
    drop.addEventListener("click", () => this.remove());
    head.append(made("code", "", this.line), this.state, keep, drop);
    this.body = made("div", "found");
    this.node.append(head, this.body);
    for (const note of this.answers.list.querySelectorAll(":scope > .note")) note.remove();
    this.answers.list.prepend(this.node);
    this.answers.shown();
  }

  remove() {
    this.node.remove();
    this.answers.timeline.update({ name: this.line, kind: "marks", note: "", at: [] });
  }

  take(told) {
    switch (told.kind) {
      case "found":
        return this.row(told.position, told.fields && Object.keys(told.fields).length ? told.fields : { what: told.text }, told.text);
      case "events":
        return told.events.forEach((event) => this.row(event.position, { kind: event.kind, what: event.text }, event.text));
      case "console-lines":
        return told.lines.forEach(([position, text]) => this.row(position, { line: text }, text));
      case "changed":
        return this.changed(told);
      case "stack-sample":
        return this.sample(told);
      default:
        if (told.text) this.say(told.text);
    }
  }

  row(position, cells, text) {
    this.place();
    this.rows.push({ position, cells, text });
    this.waiting.push({ position, cells });
    this.timer ||= setTimeout(() => this.fill(), FILL_MS);
  }

  sample(told) {
    this.place();
    this.stacks ||= new Stacks();
    this.stacks.add(told);
    this.timer ||= setTimeout(() => this.fill(), FILL_MS);
  }

  // What was said, where that is all and no more than a remark.
  get remark() { return this.node || !this.texts.length ? "" : this.texts.join("\n"); }

  say(text) {
    if (REMARKS.test(this.line)) { this.texts.push(text); return; }
    this.place();
    this.texts.push(text);
    this.body.prepend(made("pre", "", text));
  }

  changed({ expression, before, after, stopped, cause }) {
    this.place();
    const box = made("p", "change");
    box.append(made("b", "", expression), made("code", "was", withHex(before)), " \u2192 ", made("code", "becomes", withHex(after)));
    if (cause) box.append(made("span", "", ` ${cause}`));
    this.body.append(box);
    this.texts.push(`${expression}: ${before} -> ${after}${cause ? ` (${cause})` : ""}`);
    this.row(stopped.stop.position, { where: stopped.frame ? stopped.frame.text.split("\n")[0] : stopped.instruction }, expression);
  }

  fill() {
    this.timer = 0;
    if (this.stacks) { this.fillStacks(); return; }
    const { table, tbody } = this.tableFor(this.waiting[0]);
    const room = MOST_ROWS - tbody.children.length;
    tbody.append(...this.waiting.slice(0, Math.max(room, 0)).map((row) => this.tableRow(row)));
    this.waiting = [];
    table.dataset.rows = this.rows.length;
    this.state.textContent = `${grouped.format(this.rows.length)} so far`;
    if (!DRAWN.test(this.line)) this.mark();
  }

  // Calls over positions on the timeline, and a table of who has how much of them.
  fillStacks() {
    const { stacks } = this;
    this.rows = stacks.rows();
    const { table, tbody } = this.tableFor(this.rows[0]);
    tbody.replaceChildren(...this.rows.slice(0, MOST_ROWS).map((row) => this.tableRow(row)));
    table.dataset.rows = this.rows.length;
    this.state.textContent = `${grouped.format(stacks.samples.length)} stacks so far`;
    this.answers.timeline.update(stacks.track(this.line));
  }

  tableFor(row) {
    if (this.table) return this.table;
    this.columns = Object.keys(row.cells);
    const table = made("table"), head = made("tr"), tbody = made("tbody");
    head.append(made("th", "", "position"), ...this.columns.map((name) => made("th", "", name)));
    const thead = made("thead");
    thead.append(head);
    table.append(thead, tbody);
    this.body.append(table);
    this.table = { table, tbody };
    return this.table;
  }

  tableRow({ position, cells }) {
    const row = made("tr"), at = made("td");
    const go = made("button", "go", positionText(position.icount, position.phase));
    go.type = "button";
    go.addEventListener("click", () => this.answers.go(go.textContent));
    at.append(go);
    row.append(at, ...this.columns.map((name) => this.cell(name, cells[name] ?? "", position)));
    return row;
  }

  cell(name, text, { icount }) {
    if (name === "instructions" && Number(text)) {
      const line = `profile from ${icount} to ${icount + Number(text)}`;
      return pressed("go flame", grouped.format(text), "Flame chart of this call", () => this.answers.run(line));
    }
    if (FUNCTIONS.includes(name) && /^[A-Za-z_]/.test(text)) {
      return pressed("function", text, "", (node) => this.answers.ask.function(node, text.replace(/\+\d+$/, "")));
    }
    return made("td", "", text);
  }

  // All that was found, as marks on the timeline.
  mark() {
    const marks = [...this.rows].sort((a, b) => a.position.icount - b.position.icount || a.position.phase - b.position.phase);
    const at = marks.map(({ position }, index) => position.icount - (index ? marks[index - 1].position.icount : 0));
    this.answers.timeline.update({
      name: this.line, one: this.line, kind: "marks", note: "", at,
      phase: marks.map(({ position }) => position.phase), text: marks.map(({ text }) => text),
      span: marks.map(({ cells }) => Number(cells.instructions) || 0),
    });
  }

  end(told) {
    if (this.timer) { clearTimeout(this.timer); this.fill(); }
    if (!this.node) return;
    if (this.stacks) {
      const [, from, to] = /\bfrom (\d+) to (\d+)/.exec(this.line) || [0, this.stacks.start, this.stacks.end];
      this.answers.timeline.reveal(Number(from), Number(to));
    }
    const count = this.rows.length;
    const found = this.stacks ? `${grouped.format(this.stacks.samples.length)} stacks` : count ? `${grouped.format(count)} found` : "";
    this.state.textContent = told.type === "done" ? found : [found, told.type === "error" ? "failed" : "stopped"].filter(Boolean).join(", ");
    if (count > MOST_ROWS) this.body.append(made("p", "note", `The first ${grouped.format(MOST_ROWS)} are listed, all are marked on the timeline.`));
  }
}
