// Searching in what the guest printed, in events, and in the names of the program.

import { made, positionText } from "./words.js";

const MOST = 12;
const REST_MS = 150;

export class Search {
  constructor({ link, model, go, ask }) {
    Object.assign(this, { link, model, go, ask, timer: 0, asked: 0 });
    this.field = document.getElementById("search");
    this.list = document.getElementById("matches");
    this.field.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.find(this.field.value.trim()), REST_MS);
    });
    this.field.parentElement.addEventListener("keydown", (event) => this.key(event));
    this.field.parentElement.addEventListener("focusout", (event) => {
      if (!this.field.parentElement.contains(event.relatedTarget)) this.hide();
    });
  }

  // What is still looked for is not shown then.
  hide() {
    this.asked++;
    clearTimeout(this.timer);
    this.list.hidden = true;
  }

  key(event) {
    const buttons = [...this.list.querySelectorAll("button")], at = buttons.indexOf(document.activeElement);
    if (event.key === "Escape") { this.hide(); this.field.blur(); return; }
    if (event.key === "Enter" && event.target === this.field && buttons[0]) { event.preventDefault(); buttons[0].click(); return; }
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by || this.list.hidden) return;
    event.preventDefault();
    event.stopPropagation();
    (buttons[at + by] || this.field).focus();
  }

  async find(text) {
    const asked = ++this.asked;
    if (!text) { this.hide(); return; }
    // Who ran has the names of functions, which are found below.
    const groups = this.model.tracks.filter((track) => track.columns.text && track.kind !== "runs")
      .map((track) => [track.name, this.marks(track, text.toLowerCase())]);
    this.show(groups);
    let found;
    try {
      found = await this.link.ask("symbols", text);
    } catch {
      return; // without symbols there are the others
    }
    if (asked !== this.asked) return; // it has gone, or another word is looked for
    const named = (symbols, act) => symbols.slice(0, MOST).map(({ name, file, line }) =>
      [name, file ? `${file.split("/").pop()}:${line}` : "", (node) => act(node, name)]);
    groups.push(["functions", named(found.functions, (node, name) => this.ask.function(node, name))]);
    groups.push(["variables", named(found.variables, (node, name) => this.ask.value(node, name))]);
    this.show(groups);
  }

  marks(track, text) {
    const found = [];
    for (let mark = 0; mark < track.at.length && found.length < MOST; mark++) {
      if (!track.text(mark).toLowerCase().includes(text)) continue;
      const position = positionText(track.at[mark], track.phase(mark));
      found.push([track.text(mark), position, () => { this.hide(); this.field.blur(); this.go(position); }]);
    }
    return found;
  }

  show(groups) {
    this.list.replaceChildren();
    for (const [name, found] of groups) {
      if (!found.length) continue;
      this.list.append(made("h3", "", name));
      for (const [text, where, act] of found) {
        const button = made("button");
        button.type = "button";
        button.setAttribute("role", "option");
        button.append(made("span", "said", text), made("span", "at", where));
        button.addEventListener("click", () => act(this.field));
        this.list.append(button);
      }
    }
    if (!this.list.children.length) this.list.append(made("p", "note", "Nothing has that in it."));
    this.list.hidden = false;
  }
}
