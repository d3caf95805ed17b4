// What the page asks of rrdbg, and how: with the token, and nothing of anybody else's.

const KEPT = "rrdbg-token";

// The token comes behind # in the address, and does not stay there: the address is to be shared.
function token() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    localStorage.setItem(KEPT, given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return localStorage.getItem(KEPT) || "";
}

export class Link {
  constructor() { this.token = token(); }

  async fetch(path, body = undefined) {
    const headers = { "x-rrdbg-token": this.token };
    const options = body === undefined ? { headers } : { headers, method: "POST", body: JSON.stringify(body) };
    let answer;
    try {
      answer = await fetch(`/api/${path}`, options);
    } catch {
      throw new Error("rrdbg does not answer; it may have ended.");
    }
    if (answer.ok) return answer;
    const text = await answer.text();
    let told = text.replace(/^rrdbg: /, "");
    try { told = JSON.parse(text).error; } catch { /* It is a sentence as it is. */ }
    throw new Error(told);
  }

  async timeline() { return (await this.fetch("timeline")).json(); }
  async ask(what, text) { return (await this.fetch("ask", { what, text })).json(); }
  async notebook() { return (await this.fetch("notebook")).json(); }
  async saveNotebook(entries) { await this.fetch("notebook", entries); }
  async exported(form) {
    const answer = await this.fetch(`export?form=${form}`);
    return { blob: await answer.blob(), name: decodeURIComponent(answer.headers.get("x-file-name")) };
  }

  async cancel() { await this.fetch("cancel", {}); }

  // Call `take` with each message of an answer, as it comes.
  async each(answer, take) {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) take(JSON.parse(line));
    }
  }

  async run(line, take) { await this.each(await this.fetch("run", { line }), take); }
  async follow(take) { await this.each(await this.fetch("events"), take); }
}
