"use strict";

const assert = require("node:assert");
const Module = require("node:module");
const test = require("node:test");

const PAGE = `<head><meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-x='"></head>`;

/** An editor that notes what it is told. */
function editor() {
  const known = { commands: {}, messages: [], requests: [], shown_to_page: [] };
  const subscription = { dispose() {} };
  const session = {
    type: "rrdbg",
    async customRequest(request, args) {
      known.requests.push([request, args]);
      if (request === "rrdbg/last") return { before: "1", after: "2" };
      if (request === "rrdbg/timeline") return { page: PAGE };
      if (request === "rrdbg/bookmarks") return { bookmarks: [{ name: "b", note: "", position: { text: "7" } }] };
      if (request === "rrdbg/events") return { events: [] };
      if (request === "rrdbg/seek" && args.position === "nowhere") throw new Error("'nowhere' is not a position");
      return {};
    },
  };
  const vscode = {
    EventEmitter: class { constructor() { this.event = () => subscription; } fire() { known.refreshed = true; } },
    TreeItem: class { constructor(label, state) { Object.assign(this, { label, state }); } },
    TreeItemCollapsibleState: { None: 0, Expanded: 2 },
    StatusBarAlignment: { Left: 1 },
    ViewColumn: { Beside: -2 },
    DebugAdapterExecutable: class { constructor(command, args, options) { Object.assign(this, { command, args, options }); } },
    workspace: { getConfiguration: () => ({ get: () => "/opt/rrdbg" }) },
    window: {
      activeTextEditor: { selection: {}, document: { getText: () => " counter " } },
      createStatusBarItem: () => (known.status = { show() { known.shown = true; }, hide() { known.shown = false; } }),
      registerTreeDataProvider: (name, tree) => { known.tree = tree; return subscription; },
      showInputBox: async () => known.typed,
      showErrorMessage: (text) => known.messages.push(text),
      showInformationMessage: (text) => known.messages.push(text),
      setStatusBarMessage: (text) => known.messages.push(text),
      createWebviewPanel: () => (known.panel = {
        number: (known.panels = (known.panels || 0) + 1),
        reveal() {},
        onDidDispose: (listener) => { known.closed = listener; },
        webview: {
          onDidReceiveMessage: (listener) => { known.page = listener; },
          postMessage: (message) => known.shown_to_page.push(message),
        },
      }),
    },
    debug: {
      activeDebugSession: session,
      registerDebugAdapterDescriptorFactory: (type, factory) => { known.factory = factory; return subscription; },
      registerDebugConfigurationProvider: (type, provider) => { known.provider = provider; return subscription; },
      onDidReceiveDebugSessionCustomEvent: (listener) => { known.event = listener; return subscription; },
      onDidTerminateDebugSession: (listener) => { known.ended = listener; return subscription; },
    },
    commands: { registerCommand: (name, run) => { known.commands[name] = run; return subscription; } },
  };
  return { known, session, vscode };
}

function activated() {
  const made = editor();
  const load = Module._load;
  Module._load = (name, ...rest) => (name === "vscode" ? made.vscode : load(name, ...rest));
  try {
    delete require.cache[require.resolve("../extension")];
    require("../extension").activate({ subscriptions: [] });
  } finally {
    Module._load = load;
  }
  return made;
}

test("each declared command is there, and no other", () => {
  const { known } = activated();
  const declared = require("../package.json").contributes.commands.map(({ command }) => command);
  assert.deepStrictEqual(Object.keys(known.commands).sort(), declared.sort());
});

test("a session is a rrdbg dap", () => {
  const { known } = activated();
  const started = known.factory.createDebugAdapterDescriptor({ workspaceFolder: { uri: { fsPath: "/home/me/kernel" } } });
  assert.deepStrictEqual([started.command, started.args, started.options], ["/opt/rrdbg", ["dap"], { cwd: "/home/me/kernel" }]);
  assert.deepStrictEqual(known.factory.createDebugAdapterDescriptor({}).options, {});
  assert.strictEqual(known.provider.resolveDebugConfiguration(undefined, {}).request, "launch");
});

test("the status bar follows the positions of a recording", () => {
  const { known, session } = activated();
  known.event({ session: { type: "other" }, event: "rrdbg/position", body: {} });
  assert.strictEqual(known.shown, undefined);
  known.event({ session, event: "rrdbg/position", body: { text: "7", percent: 1 } });
  assert.deepStrictEqual([known.shown, known.status.text], [true, "$(history) 7 (1.0%)"]);
  known.ended(session);
  assert.strictEqual(known.shown, false);
});

test("commands ask the adapter", async () => {
  const { known } = activated();
  await known.commands["rrdbg.reverseStepOut"]();
  await known.commands["rrdbg.lastWrite"]();
  known.typed = "oops the list is broken";
  await known.commands["rrdbg.bookmark"]();
  assert.deepStrictEqual(known.requests.slice(0, 3), [
    ["rrdbg/reverseStepOut", { threadId: 1 }],
    ["rrdbg/last", { expression: "counter" }],
    ["rrdbg/bookmarks", { name: "oops", note: "the list is broken" }],
  ]);
  assert.ok(known.messages.includes("counter: 1 -> 2"));
  known.typed = "nowhere";
  await known.commands["rrdbg.seek"]();
  assert.ok(known.messages.includes("rrdbg: 'nowhere' is not a position"));
});

test("a click in the timeline is a seek", async () => {
  const { known } = activated();
  await known.commands["rrdbg.timeline"]();
  assert.ok(known.panel.webview.html.includes("acquireVsCodeApi"));
  known.page({ position: "7,300,446:1" });
  known.page({ position: "shell id" });
  assert.deepStrictEqual(known.requests.slice(1), [["rrdbg/seek", { position: "7,300,446:1" }]]);
});

test("the timeline stands where the cursor does, and is one", async () => {
  const { known, session } = activated();
  const stand = (icount) => known.event({ session, event: "rrdbg/position", body: { text: "", percent: 1, icount, phase: 0 } });
  stand(7);
  await known.commands["rrdbg.timeline"]();
  known.page({ ready: true });
  stand(8);
  assert.deepStrictEqual(known.shown_to_page, [{ icount: 7, phase: 0 }, { icount: 8, phase: 0 }]);
  await known.commands["rrdbg.timeline"]();
  assert.strictEqual(known.panels, 1);
  known.closed();
  stand(9);
  assert.strictEqual(known.shown_to_page.length, 2);
  await known.commands["rrdbg.timeline"]();
  assert.strictEqual(known.panels, 2);
});

test("the tree has the bookmarks, and an item goes there", async () => {
  const { known } = activated();
  const [marks] = await known.tree.getChildren();
  const item = known.tree.getTreeItem((await known.tree.getChildren(marks))[0]);
  assert.deepStrictEqual([item.label, item.command.arguments], ["@b", ["7"]]);
});

test("without a recording a command says so", async () => {
  const { known, vscode } = activated();
  vscode.debug.activeDebugSession = undefined;
  await known.commands["rrdbg.reverseStepInto"]();
  assert.deepStrictEqual([known.requests, known.messages], [[], ["No recording is being debugged."]]);
});
