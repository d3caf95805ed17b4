// On a wide page what the guest is stands beside what was found about it, in a pane of its own.

const WIDE = matchMedia("(min-width: 2200px)");
const GUESTS = ["console", "registers", "memory"];
const element = (id) => document.getElementById(id);
const tabOf = (name) => document.querySelector(`[data-tab="${name}"]`);

export function spread(showTab) {
  arrange(showTab);
  WIDE.addEventListener("change", () => arrange(showTab));
}

function arrange(showTab) {
  const more = element("more"), aside = element("aside"), shown = more.querySelector('[aria-selected="true"]');
  for (const name of GUESTS) {
    if (WIDE.matches) {
      aside.querySelector(".tabs").append(tabOf(name));
      aside.append(element(name));
    } else {
      tabOf("notebook").before(tabOf(name));
      element("notebook").before(element(name));
    }
  }
  aside.hidden = !WIDE.matches;
  for (const pane of [more, aside]) {
    const tabs = [...pane.querySelectorAll("[data-tab]")], chosen = tabs.filter((tab) => tab.getAttribute("aria-selected") === "true");
    // Of two panes that become one, what was found stays in sight.
    if (tabs.length && chosen.length !== 1) showTab((chosen.find((tab) => tab === shown) || tabs[0]).dataset.tab);
  }
}
