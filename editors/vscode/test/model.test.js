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

test("of the page's messages only a seek to a position counts", () => {
  assert.strictEqual(asked({ command: "seek 5,941,340" }), "5,941,340");
  assert.strictEqual(asked({ command: "seek 7,300,446:1" }), "7,300,446:1");
  for (const message of [undefined, null, {}, { command: 5 }, { command: "shell id" }, { command: "seek 1; shell id" },
    { command: "seek @x" }, { command: "seek " }, { command: `seek ${"1".repeat(40)}` }]) {
    assert.strictEqual(asked(message), undefined);
  }
});

test("the page runs its own scripts and nothing else", () => {
  const page = webviewPage("<!DOCTYPE html><html><head><title>$& x</title></head><body><script>draw()</script></body></html>", "n0");
  assert.ok(page.includes("script-src 'nonce-n0'"));
  assert.strictEqual(page.match(/<script nonce="n0">/g).length, 2);
  assert.ok(!page.includes("<script>"));
  assert.ok(page.indexOf("acquireVsCodeApi") < page.indexOf("draw()"));
  assert.ok(page.includes("$& x"));
  assert.throws(() => webviewPage("text", "n0"));
});
