// Keys for those who work through a queue all day. Every key presses a link or a button that is on the page.
"use strict";
(() => {
  const OFF = "weir.keys-off";
  const find = (selector) => document.querySelector(selector);
  const dialog = find("#keys");
  const choice = find("#keys-on");
  const opener = find("#show-keys");

  const isOff = () => localStorage.getItem(OFF) === "1";
  choice.checked = !isOff();
  choice.addEventListener("change", () => localStorage.setItem(OFF, choice.checked ? "0" : "1"));
  opener.hidden = false;
  opener.addEventListener("click", () => dialog.showModal());

  let here = ""; // id of the row that was last moved to: the queue is drawn again while it is looked at

  function rows() {
    return [...document.querySelectorAll("[data-rows] tbody tr")];
  }

  function mark(row, focus) {
    for (const other of document.querySelectorAll("tr.here")) other.classList.remove("here");
    row.classList.add("here");
    here = row.id;
    if (focus) row.querySelector("[data-open], a")?.focus();
  }

  function move(step) {
    const all = rows();
    if (!all.length) return;
    const at = all.findIndex((row) => row.classList.contains("here"));
    const to = at < 0 ? 0 : Math.min(Math.max(at + step, 0), all.length - 1);
    mark(all[to], true);
    all[to].scrollIntoView({ block: "nearest" });
  }

  function choose(verdict) {
    const form = find("[data-verdict]");
    if (!form) return;
    const around = form.closest("details");
    if (around) around.open = true;
    form.querySelector(`[value="${verdict}"]`).checked = true;
    form.querySelector("textarea").focus();
  }

  function claim() {
    (find("tr.here [data-claim]") ?? (find("[data-rows]") ? null : find("[data-claim]")))?.click();
  }

  const acts = {
    j: () => move(1),
    k: () => move(-1),
    n: () => (find("[data-next-case]") ?? (document.body.dataset.next ? { click: () => location.assign(document.body.dataset.next) } : null))?.click(),
    c: claim,
    f: () => choose("fraud"),
    l: () => choose("legitimate"),
    u: () => choose("unsure"),
    q: () => find("header nav a").click(),
    "/": () => find("[data-find]").focus(),
    "?": () => dialog.showModal(),
  };

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=radio]):not([type=checkbox]), textarea, select");
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && typing?.form) {
      event.preventDefault();
      typing.form.requestSubmit();
      return;
    }
    if (event.key === "Escape" && typing) typing.blur();
    if (typing || dialog.open || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const act = Object.hasOwn(acts, event.key) ? acts[event.key] : null;
    if (!act || (isOff() && event.key !== "?")) return;
    event.preventDefault();
    act();
  });

  document.addEventListener("htmx:afterSwap", () => {
    const row = here && document.getElementById(here);
    if (row) mark(row, document.activeElement === document.body);
  });
})();
