"use strict";

const assert = require("node:assert");
const test = require("node:test");
const { adapter, asked, places, statusText, webviewPage } = require("../model");

const POSITION = { text: "5,941,340", percent: 72.96, icount: 5941340, phase: 0 };

test("the adapter is rrdbg dap", () => {
  assert.deepStrictEqual(adapter(""), { command: "rrdbg", args: ["dap"] });
  assert.deepStrictEqual(adapter("/opt/rrdbg"), { command: "/opt/rrdbg", args: ["dap"] });
});

test("the status bar tells the position", () => {
  assert.strictEqual(statusText(POSITION), "$(history) 5,941,340 (73.0%)");
});

test("places have a label, a note and a position", () => {
  const [marks, events] = places(
    [{ name: "oops", note: "look", position: POSITION }], [{ kind: "interrupt", text: "", position: POSITION }],
  );
  assert.deepStrictEqual(marks.children, [{ label: "@oops", description: "5,941,340  look", position: "5,941,340" }]);
  assert.strictEqual(events.children[0].description, "5,941,340");
});

test("of the page's messages only a position counts", () => {
  assert.strictEqual(asked({ position: "5,941,340" }), "5,941,340");
  assert.strictEqual(asked({ position: "7,300,446:1" }), "7,300,446:1");
  for (const message of [undefined, null, {}, { position: 5 }, { position: "shell id" }, { position: "1; shell id" },
    { position: "1\nshell id" }, { position: "@x" }, { position: "" }, { position: "1".repeat(40) }]) {
    assert.strictEqual(asked(message), undefined);
  }
});

// The real page in a real browser is tests/editors/test_webview.py.
test("the page's own policy stays, and is wanted", () => {
  const policy = `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-x='">`;
  const page = webviewPage(`<html><head>${policy}<title>$& x</title></head><body><script type="module">draw()</script></body></html>`);
  assert.ok(page.indexOf("acquireVsCodeApi") < page.indexOf(policy));
  assert.ok(page.includes("$& x"));
  for (const open of ["text", "<head><script>draw()</script></head>", page.replace("'sha256-x='", "'unsafe-inline'")]) {
    assert.throws(() => webviewPage(open));
  }
});
