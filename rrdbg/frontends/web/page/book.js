// The notebook of the page to work in: what is kept, with notes, and how it leaves the page.

import { entryNode } from "./notebook.js";
import { made } from "./words.js";

const MOST_ROWS = 200;
const MOST_SLICES = 20000;

export class Book {
  constructor(node, { link, go, place, say }) {
    Object.assign(this, { node, link, go, place, say, entries: [] });
  }

  async load() {
    this.entries = await this.link.notebook();
    this.show();
  }

  // An answer with what it found, or without one the place where the cursor is.
  keep(answer = null) {
    const { position, where } = this.place();
    const columns = answer && answer.columns || [];
    const rows = (answer ? answer.rows : []).slice(0, MOST_ROWS).map(({ position: at, cells }) =>
      [[at.icount, at.phase], columns.map((name) => String(cells[name] ?? ""))]);
    const at = rows.length === 1 ? rows[0][0] : [position.icount, position.phase];
    this.entries.push({
      at, title: answer ? answer.line : "here", where, text: answer ? answer.texts.join("\n") : this.place().text,
      columns, rows, total: answer ? answer.rows.length : 0, note: "",
      ...(answer && answer.stacks && { flame: answer.stacks.kept(MOST_SLICES) }),
    });
    this.save();
    this.show();
    this.say("Kept in the notebook.");
    const notes = this.node.querySelectorAll("textarea");
    notes[notes.length - 1].focus({ preventScroll: true });
    notes[notes.length - 1].scrollIntoView({ block: "nearest" });
  }

  async save() {
    try {
      await this.link.saveNotebook(this.entries);
    } catch (error) {
      this.say(error.message, "error");
    }
  }

  show() {
    const bar = made("div", "bar");
    const button = (text, title, act) => {
      const made_ = made("button", "", text);
      made_.type = "button";
      made_.title = title;
      made_.addEventListener("click", act);
      bar.append(made_);
      return made_;
    };
    button("Keep this place", "The cursor, and the functions that were called", () => this.keep());
    for (const [text, form, title] of [
      ["Markdown", "markdown", "As text for a bug report"], ["Page", "page", "As one page that needs no server"],
    ]) button(text, title, () => this.leave(form)).disabled = !this.entries.length;
    const nodes = this.entries.map((entry, index) => entryNode(entry, index + 1, {
      go: ({ position }) => this.go(position),
      change: (note) => { entry.note = note; this.save(); },
      drop: () => { this.entries.splice(index, 1); this.save(); this.show(); },
    }));
    this.node.replaceChildren(bar, ...nodes);
    if (!nodes.length) this.node.append(made("p", "note", "What you keep stands here, with your notes."));
  }

  async leave(form) {
    try {
      const { blob, name } = await this.link.exported(form);
      const anchor = made("a");
      anchor.href = URL.createObjectURL(blob);
      anchor.download = name;
      anchor.click();
      URL.revokeObjectURL(anchor.href);
    } catch (error) {
      this.say(error.message, "error");
    }
  }
}
