// What was kept of a recording, as it is shown; where `change` is given, notes can be written.

import { grouped, made, positionText } from "./words.js";

export function entryNode(entry, number, { go, change = null, drop = null }) {
  const node = made("article", "entry"), head = made("header");
  const at = positionText(entry.at[0], entry.at[1]);
  head.append(made("b", "", `${number}. `), made("code", "", entry.title));
  if (drop) {
    const button = made("button", "", "\u00d7");
    button.type = "button";
    button.setAttribute("aria-label", `Take entry ${number} out`);
    button.addEventListener("click", drop);
    head.append(button);
  }
  const place = made("p", "place");
  place.append(link(at, go), made("span", "", entry.where));
  node.append(head, place, note(entry, change));
  if (entry.text) node.append(made("pre", "", entry.text));
  if (entry.rows.length) node.append(table(entry, go));
  if (entry.total > entry.rows.length) {
    node.append(made("p", "note", `The first ${grouped.format(entry.rows.length)} of ${grouped.format(entry.total)}.`));
  }
  return node;
}

function link(at, go) {
  const button = made("button", "go", at);
  button.type = "button";
  button.addEventListener("click", () => go({ position: at }));
  return button;
}

function note(entry, change) {
  if (!change) return made("p", "remark", entry.note);
  const field = made("textarea", "remark");
  field.value = entry.note;
  field.rows = 2;
  field.placeholder = "What does this show?";
  field.setAttribute("aria-label", "Note");
  field.addEventListener("change", () => change(field.value));
  return field;
}

function table(entry, go) {
  const node = made("table"), head = made("tr"), thead = made("thead"), tbody = made("tbody");
  head.append(made("th", "", "position"), ...entry.columns.map((name) => made("th", "", name)));
  thead.append(head);
  for (const [[icount, phase], cells] of entry.rows) {
    const row = made("tr"), at = made("td");
    at.append(link(positionText(icount, phase), go));
    row.append(at, ...cells.map((cell) => made("td", "", cell)));
    tbody.append(row);
  }
  node.append(thead, tbody);
  return node;
}
