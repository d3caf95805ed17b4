// The editor's side of `rrdbg dap`: its buttons, a position in the status bar, a tree of places, the timeline.
"use strict";

const vscode = require("vscode");
const { adapter, asked, places, statusText, webviewPage } = require("./model");

const TYPE = "rrdbg";
const EVENTS = 20;

/** The session that a command is for; undefined, and the user is told, if there is none. */
function current() {
  const session = vscode.debug.activeDebugSession;
  if (session && session.type === TYPE) return session;
  vscode.window.showInformationMessage("No recording is being debugged.");
  return undefined;
}

async function ask(request, args = {}) {
  const session = current();
  if (!session) return undefined;
  try {
    return await session.customRequest(request, args);
  } catch (error) {
    vscode.window.showErrorMessage(`rrdbg: ${error.message}`);
    return undefined;
  }
}

/** The bookmarks and events of the recording that is debugged. */
class Places {
  constructor() {
    this._changed = new vscode.EventEmitter();
    this.onDidChangeTreeData = this._changed.event;
  }

  refresh() {
    this._changed.fire();
  }

  getTreeItem(item) {
    const state = vscode.TreeItemCollapsibleState;
    const shown = new vscode.TreeItem(item.label, item.children ? state.Expanded : state.None);
    shown.description = item.description;
    if (item.position) shown.command = { command: "rrdbg.goTo", title: "Go there", arguments: [item.position] };
    return shown;
  }

  async getChildren(item) {
    if (item) return item.children || [];
    const session = vscode.debug.activeDebugSession;
    if (!session || session.type !== TYPE) return [];
    try {
      const { bookmarks } = await session.customRequest("rrdbg/bookmarks");
      const { events } = await session.customRequest("rrdbg/events", { last: true, limit: EVENTS });
      return places(bookmarks, events.reverse());
    } catch {
      return []; // the session ends, or has not begun; the next stop asks again
    }
  }
}

async function lastWrite() {
  const editor = vscode.window.activeTextEditor;
  const selected = editor ? editor.document.getText(editor.selection) : "";
  const expression = selected.trim() || (await vscode.window.showInputBox({ prompt: "Last write of which expression?" }));
  if (!expression) return;
  const change = await ask("rrdbg/last", { expression });
  if (change) vscode.window.setStatusBarMessage(`${expression}: ${change.before} -> ${change.after}`, 10000);
}

async function seek(position) {
  const where = position || (await vscode.window.showInputBox({ prompt: "Position: 1,234  50%  +1e6  end  @bookmark" }));
  if (where) await ask("rrdbg/seek", { position: where });
}

async function bookmark() {
  const said = await vscode.window.showInputBox({ prompt: "Name of the bookmark, and a note" });
  if (!said) return;
  const [name, ...note] = said.trim().split(/\s+/);
  await ask("rrdbg/bookmarks", { name, note: note.join(" ") });
}

/** The timeline in a webview of its own, which shows where the cursor stands. */
class Timeline {
  async show() {
    const told = await ask("rrdbg/timeline", { form: "html" });
    if (!told) return;
    this._panel = this._panel || this._open();
    this._panel.webview.html = webviewPage(told.page);
    this._panel.reveal();
  }

  stand({ icount, phase }) {
    this._position = { icount, phase };
    if (this._panel) this._panel.webview.postMessage(this._position);
  }

  _open() {
    const options = { enableScripts: true, localResourceRoots: [] };
    const panel = vscode.window.createWebviewPanel("rrdbg.timeline", "Timeline", vscode.ViewColumn.Beside, options);
    panel.onDidDispose(() => { this._panel = undefined; });
    panel.webview.onDidReceiveMessage((message) => {
      const position = asked(message);
      if (position) seek(position);
      else if (message && message.ready && this._position) panel.webview.postMessage(this._position);
    });
    return panel;
  }
}

function activate(context) {
  const status = vscode.window.createStatusBarItem(vscode.StatusBarAlignment.Left);
  status.command = "rrdbg.seek";
  status.tooltip = "Position in the recording; click to go elsewhere";
  const tree = new Places();
  const timeline = new Timeline();
  const back = (request) => () => ask(request, { threadId: 1 });
  const commands = {
    "rrdbg.reverseStepInto": back("rrdbg/reverseStepIn"),
    "rrdbg.reverseStepOut": back("rrdbg/reverseStepOut"),
    "rrdbg.lastWrite": lastWrite,
    "rrdbg.seek": () => seek(),
    "rrdbg.goTo": (position) => seek(position),
    "rrdbg.bookmark": async () => { await bookmark(); tree.refresh(); },
    "rrdbg.timeline": () => timeline.show(),
    "rrdbg.refresh": () => tree.refresh(),
  };
  context.subscriptions.push(
    status,
    vscode.window.registerTreeDataProvider("rrdbg.places", tree),
    vscode.debug.registerDebugAdapterDescriptorFactory(TYPE, {
      createDebugAdapterDescriptor(session) {
        const { command, args } = adapter(vscode.workspace.getConfiguration("rrdbg").get("path"));
        const folder = session.workspaceFolder; // names of files in launch.json are relative to it
        return new vscode.DebugAdapterExecutable(command, args, folder ? { cwd: folder.uri.fsPath } : {});
      },
    }),
    vscode.debug.registerDebugConfigurationProvider(TYPE, {
      resolveDebugConfiguration(folder, config) {
        return config.type ? config : { type: TYPE, request: "launch", name: "Latest recording" };
      },
    }),
    vscode.debug.onDidReceiveDebugSessionCustomEvent((event) => {
      if (event.session.type !== TYPE || event.event !== "rrdbg/position") return;
      status.text = statusText(event.body);
      status.show();
      timeline.stand(event.body);
      tree.refresh();
    }),
    vscode.debug.onDidTerminateDebugSession((session) => {
      if (session.type !== TYPE) return;
      status.hide();
      tree.refresh();
    }),
    ...Object.entries(commands).map(([name, run]) => vscode.commands.registerCommand(name, run)),
  );
}

module.exports = { activate };
