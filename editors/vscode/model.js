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
  const found = message && typeof message.command === "string" && /^seek ([\d,]{1,30}(?::\d{1,9})?)$/.exec(message.command);
  return found ? found[1] : undefined;
}

/**
 * The timeline's page for a webview: it may do nothing but run its own scripts, and what it would copy to the clipboard
 * (a command that goes to where was clicked) it sends to the extension.
 */
function webviewPage(page, nonce) {
  const policy = `default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-${nonce}'`;
  const bridge = `const editor = acquireVsCodeApi();
Object.defineProperty(navigator, "clipboard", { value: { writeText: async (command) => editor.postMessage({ command }) } });`;
  const head = `<meta http-equiv="Content-Security-Policy" content="${policy}"><script>${bridge}</script>`;
  if (!page.includes("<head>")) throw new Error("The timeline is no page with a head.");
  return page.replace("<head>", () => `<head>${head}`).replace(/<script>/g, () => `<script nonce="${nonce}">`);
}

module.exports = { adapter, asked, places, statusText, webviewPage };
