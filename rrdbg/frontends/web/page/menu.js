// The menu of what can be asked about a thing.

import { made } from "./words.js";

const menu = document.getElementById("menu");
let from = null;

export function openMenu(anchor, title, choices) {
  from = anchor;
  menu.replaceChildren(made("p", "", title));
  for (const [text, line, act] of choices) {
    const button = made("button", "", text);
    button.type = "button";
    button.setAttribute("role", "menuitem");
    if (line) button.append(made("code", "", line));
    button.addEventListener("click", () => { closeMenu(); act(); });
    menu.append(button);
  }
  menu.hidden = false;
  const box = anchor.getBoundingClientRect(), { width, height } = menu.getBoundingClientRect();
  menu.style.left = `${Math.max(Math.min(box.left, innerWidth - width - 8), 4)}px`;
  menu.style.top = `${box.bottom + height + 4 > innerHeight ? Math.max(box.top - height - 2, 4) : box.bottom + 2}px`;
  menu.querySelector("button").focus();
}

export function closeMenu() {
  if (menu.hidden) return;
  menu.hidden = true;
  if (from && from.isConnected) from.focus();
}

menu.addEventListener("keydown", (event) => {
  const buttons = [...menu.querySelectorAll("button")], at = buttons.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
  if (event.key === "Escape" || event.key === "Tab") closeMenu();
  else if (to !== undefined) buttons[(to + buttons.length) % buttons.length].focus();
  else return;
  event.preventDefault();
  event.stopPropagation();
});
document.addEventListener("pointerdown", (event) => { if (!menu.contains(event.target)) closeMenu(); });
