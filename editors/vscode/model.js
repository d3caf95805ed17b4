// What the extension decides, without the editor: values in, values out.
"use strict";

/** The program and its words for a debug session; what the launch request says need not be said twice. */
function adapter(path) {
  return { command: path || "rrdbg", args: ["dap"] };
}

/** What the status bar shows of a position. */
function statusText(position) {
  return `$(history) ${position.text} (${position.percent.toFixed(1)}%)`;
}

/** The tree: bookmarks with their notes, and the events next before the cursor. */
function places(bookmarks, events) {
  return [
    { label: "Bookmarks", children: bookmarks.map((mark) => place(`@${mark.name}`, mark.note, mark.position)) },
    { label: "Events before here", children: events.map((event) => place(event.kind, event.text, event.position)) },
  ];
}

function place(label, text, position) {
  return { label, description: `${position.text}  ${text}`.trim(), position: position.text };
}

/** The position that a message of the timeline's page asks for; undefined if it is anything else. */
function asked(message) {
  const found = message && typeof message.position === "string" && /^[\d,]{1,30}(?::\d{1,9})?$/.exec(message.position);
  return found ? found[0] : undefined;
}

const HEAD = "<head>";
const POLICY = /<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-[^']+'">/;

/**
 * The timeline's page for a webview: where is clicked it tells the extension. By its own policy it runs its one script
 * and fetches nothing; what is put before that is not under it.
 */
function webviewPage(page) {
  if (!page.includes(HEAD) || !POLICY.test(page)) throw new Error("The timeline is no page that allows its own script alone.");
  const bridge = `const editor = acquireVsCodeApi();
globalThis.rrdbgHost = {
  go: (position) => editor.postMessage({ position }),
  follow(stand) {
    addEventListener("message", ({ data }) => stand(data.icount, data.phase));
    editor.postMessage({ ready: true });
  },
};`;
  return page.replace(HEAD, () => `${HEAD}<script>${bridge}</script>`);
}

module.exports = { adapter, asked, places, statusText, webviewPage };
