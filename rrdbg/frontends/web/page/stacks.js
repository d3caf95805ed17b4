// Stacks at every so many instructions, put together as calls with their depth, and counted by function.

export class Stacks {
  constructor() {
    // Slices in columns, in the order of their begin; `open` are those of the last sample, outermost first.
    Object.assign(this, { at: [], span: [], depth: [], text: [], samples: [], every: 1, open: [], functions: new Map() });
  }

  get start() { return this.samples[0]; }
  get end() { return this.samples.at(-1) + this.every; }

  // Of a sample the innermost name comes first.
  add({ position: { icount }, instructions, names: called, running }) {
    const names = [...called].reverse();
    if (running) names.unshift(`${running.task.comm}[${running.task.pid}]`);
    const last = this.samples.at(-1);
    // A sample may be some instructions late, where something was delivered in its place.
    if (this.samples.length && icount - last >= 2 * instructions) this.open = [];
    const end = icount + instructions;
    let same = 0;
    while (same < names.length && same < this.open.length && this.text[this.open[same]] === names[same]) same++;
    for (const mark of this.open.slice(0, same)) this.span[mark] = end - this.at[mark];
    // What has ended did so somewhere before this sample.
    for (const mark of this.open.slice(same)) this.span[mark] = Math.min(this.span[mark], icount - this.at[mark]);
    this.open.length = same;
    for (let depth = same; depth < names.length; depth++) {
      this.open.push(this.at.length);
      this.at.push(icount);
      this.span.push(instructions);
      this.depth.push(depth);
      this.text.push(names[depth]);
    }
    this.samples.push(icount);
    this.every = instructions;
    this.count(names, icount);
  }

  count(names, icount) {
    for (const name of new Set(names)) {
      const known = this.functions.get(name) || { first: icount, self: 0, total: 0 };
      known.total++;
      if (name === names.at(-1)) known.self++;
      this.functions.set(name, known);
    }
  }

  // A track for the timeline.
  track(name) {
    const at = this.at.map((icount, mark) => icount - (mark ? this.at[mark - 1] : 0));
    const { span, depth, text, samples, every } = this;
    const [, wanted = ""] = /^profile (?!from |to |--)(.+?)(?: from | to | --|$)/.exec(name) || [];
    return { name, one: name, kind: "flame", note: "", at, span, depth, text, samples, every, wanted };
  }

  // What of it is kept in a notebook: the longest calls, if there are very many.
  kept(most) {
    const marks = this.at.map((_, mark) => mark).sort((a, b) => this.span[b] - this.span[a] || a - b).slice(0, most).sort((a, b) => a - b);
    const names = [...new Set(marks.map((mark) => this.text[mark]))], number = new Map(names.map((name, index) => [name, index]));
    return {
      every: this.every, names,
      slices: marks.map((mark) => [this.at[mark], this.span[mark], this.depth[mark], number.get(this.text[mark])]),
    };
  }

  // Who has how much of it, those first that are run longest themselves.
  rows() {
    const whole = this.samples.length, share = (part) => `${(100 * part / whole).toFixed(1)}%`;
    return [...this.functions].sort(([, a], [, b]) => b.self - a.self || b.total - a.total).map(([name, { first, self, total }]) => ({
      position: { icount: first, phase: 0 }, cells: { function: name, self: share(self), total: share(total) }, text: name,
    }));
  }
}
