// What there is to see at the cursor; what the last movement has changed is marked.

import { grouped, made, withHex } from "./words.js";

const element = (id) => document.getElementById(id);

function button(className, text, act) {
  const node = made("button", className, text);
  node.type = "button";
  node.addEventListener("click", () => act(node));
  return node;
}

// `ask` opens the menu of what can be asked: of a value, a function or a place in memory.
export class PlaceView {
  constructor({ link, ask, run, fail }) {
    Object.assign(this, { link, ask, run, fail, place: null, before: null, dump: null });
    this.open = new Set();
    element("where-memory").addEventListener("submit", (event) => { event.preventDefault(); this.showMemory(); });
  }

  show(place) {
    this.before = this.place;
    this.place = place;
    this.showSource();
    this.showInstructions();
    this.showStack();
    this.showVariables();
    this.showRegisters();
    this.showMemory();
  }

  get frame() { return (this.place.frames || [])[this.place.selected] || null; }

  showSource() {
    const { source, unseen, note } = this.place, list = element("source");
    element("file").textContent = source ? `${source.path.split("/").pop()}:${source.line}` : "";
    element("file").title = source ? source.path : "";
    if (!source) {
      list.replaceChildren(made("li", "note", unseen || note || "There is no line of source for this instruction."));
      delete list.dataset.shown;
      return;
    }
    const shown = `${source.path} ${source.first} ${source.lines.length}`;
    if (list.dataset.shown !== shown) {
      list.dataset.shown = shown;
      list.replaceChildren(...source.lines.map((text, index) => {
        const line = made("li");
        line.append(made("span", "number", source.first + index), made("code", "", text || " "));
        return line;
      }));
    }
    this.mark(list, source.line - source.first);
  }

  mark(list, index) {
    for (const old of list.querySelectorAll(".now")) { old.classList.remove("now"); old.removeAttribute("aria-current"); }
    const now = list.children[index];
    if (!now) return;
    now.classList.add("now");
    now.setAttribute("aria-current", "step");
    if (list.hidden) return;
    const top = now.offsetTop, room = list.clientHeight;
    if (top < list.scrollTop + 20 || top > list.scrollTop + room - 40) list.scrollTop = top - room / 2.5;
  }

  // They are asked for only where they are seen: they need a machine at the cursor, and a step back does not.
  async showInstructions() {
    const list = element("instructions");
    if (list.hidden || !this.place) return;
    const { place } = this;
    let instructions;
    try {
      instructions = await this.link.ask("instructions", "");
    } catch (error) {
      list.replaceChildren(made("li", "note", error.message));
      return;
    }
    if (place !== this.place) return; // another place has come meanwhile
    list.replaceChildren(...instructions.map(([address, where, text]) => {
      const line = made("li");
      line.append(made("span", "number", address), made("span", "offset", where), made("code", "", text));
      return line;
    }));
    this.mark(list, instructions.findIndex(([address]) => address === place.pc));
  }

  showStack() {
    const { frames = [], selected, note } = this.place;
    element("stack").replaceChildren(...frames.map((frame) => {
      const item = made("li", frame.level === selected ? "chosen" : "");
      const given = frame.arguments.map(([name, value]) => `${name}=${value}`).join(", ");
      const choose = button("frame", "", () => this.run(`frame ${frame.level}`));
      choose.title = `Look at this function: frame ${frame.level}`;
      choose.append(made("b", "", `#${frame.level}`));
      const called = button("function", frame.function, (node) => this.ask.function(node, frame.function));
      const where = frame.line ? `${frame.path.split("/").pop()}:${frame.line}` : frame.address;
      item.append(choose, called, made("span", "given", `(${given})`), made("span", "where", where));
      return item;
    }));
    if (!frames.length) element("stack").append(made("li", "note", note || "There is no call to be seen here."));
  }

  showVariables() {
    const list = element("variables"), known = this.sameFunction() ? values(this.before.locals) : null;
    const { locals = [] } = this.place;
    list.replaceChildren(...locals.map((variable) => this.variable(variable, known)));
    if (!locals.length) list.append(made("li", "note", "none here"));
  }

  // Only the variables of one call are compared with themselves.
  sameFunction() {
    const frame = this.frame, was = this.before && (this.before.frames || [])[this.before.selected];
    return frame && was && frame.function === was.function && this.place.frames.length === this.before.frames.length;
  }

  variable(variable, known) {
    const { name, expression, value, type, argument, parts } = variable;
    const changed = known && known.has(expression) && known.get(expression) !== value;
    const item = made("li", changed ? "changed" : "");
    const shown = button("value", value, (node) => this.ask.value(node, expression));
    shown.dataset.expression = expression;
    shown.title = changed ? `was ${known.get(expression)}` : type;
    const opener = made("span", "opener");
    if (parts) {
      const open = button("open", this.open.has(expression) ? "\u25be" : "\u25b8", () => this.toggle(item, expression, open));
      open.setAttribute("aria-label", `Members of ${expression}`);
      open.setAttribute("aria-expanded", this.open.has(expression));
      opener.append(open);
      if (this.open.has(expression)) this.addParts(item, expression);
    }
    item.prepend(opener, made("span", `variable${argument ? " argument" : ""}`, name), shown, made("span", "type", hex(value) + type));
    return item;
  }

  toggle(item, expression, open) {
    const closing = this.open.delete(expression);
    open.textContent = closing ? "\u25b8" : "\u25be";
    open.setAttribute("aria-expanded", !closing);
    if (closing) { for (const list of item.querySelectorAll(":scope > ul")) list.remove(); return; }
    this.open.add(expression);
    this.addParts(item, expression);
  }

  async addParts(item, expression) {
    const list = made("ul");
    try {
      const parts = await this.link.ask("parts", expression);
      const was = this.parts && this.parts.get(expression);
      list.append(...parts.map((part) => this.variable(part, was)));
      (this.parts ||= new Map()).set(expression, values(parts));
    } catch (error) {
      list.append(made("li", "note", error.message));
    }
    item.append(list);
  }

  showRegisters() {
    const was = this.before ? new Map(this.before.registers) : new Map();
    element("registers").replaceChildren(...this.place.registers.map(([name, value]) => {
      const changed = was.has(name) && was.get(name) !== value;
      const item = made("li", changed ? "changed" : "");
      const shown = button("value", value, (node) => this.ask.register(node, name));
      if (changed) shown.title = `was ${was.get(name)}`;
      item.append(made("span", "variable", name), shown);
      return item;
    }));
  }

  async showMemory() {
    const list = element("bytes");
    if (element("memory").hidden || !this.place) return;
    let dump;
    try {
      dump = await this.link.ask("memory", element("address").value);
    } catch (error) {
      list.replaceChildren(made("li", "note", error.message));
      return;
    }
    const was = this.dump && this.dump.address === dump.address ? this.dump.bytes : "";
    this.dump = dump;
    const rows = [];
    for (let at = 0; at < dump.bytes.length; at += 32) rows.push(this.memoryRow(dump, was, at));
    list.replaceChildren(...rows);
  }

  memoryRow({ address, bytes }, was, at) {
    const row = made("li"), start = BigInt(address) + BigInt(at / 2);
    row.append(made("span", "number", `0x${start.toString(16)}`));
    let letters = "";
    for (let word = at; word < Math.min(at + 32, bytes.length); word += 16) {
      const place = `*0x${(BigInt(address) + BigInt(word / 2)).toString(16)}:8`;
      const text = bytes.slice(word, word + 16).match(/../g).join(" ");
      const changed = was && was.slice(word, word + 16) !== bytes.slice(word, word + 16);
      row.append(button(`value${changed ? " changed" : ""}`, text, (node) => this.ask.value(node, place, wordOf(text))));
      for (const pair of text.split(" ")) {
        const code = parseInt(pair, 16);
        letters += code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : "\u00b7";
      }
    }
    row.append(made("span", "letters-of", letters));
    return row;
  }

  positionText() {
    const { position, percent, time, exact } = this.place;
    const at = grouped.format(position.icount) + (position.phase ? `:${position.phase}` : "");
    return { at, rest: `${percent.toFixed(1)}%  ${exact ? "" : "about "}${(time / 1e9).toFixed(6)} s` };
  }
}

// The number that bytes are, the lowest first, as on all guests that rrdbg knows.
const wordOf = (bytes) => `0x${bytes.split(" ").reverse().join("")}`;
const hex = (value) => withHex(value) === value ? "" : `${withHex(value).slice(value.length + 2, -1)} `;
const values = (variables = []) => new Map(variables.map(({ expression, value }) => [expression, value]));
