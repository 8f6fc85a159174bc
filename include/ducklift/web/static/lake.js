// What scripts add to the pages. All that matters works without: this follows Airflow, keeps a page up to date and lets charts be zoomed.
import { drawPlots } from "./plot.js";
import { wireActions } from "./actions.js";

const REFRESH_S = 20;

function dress(root) {
  for (const link of root.querySelectorAll("a[data-airflow]")) link.addEventListener("click", openInAirflow);
  drawPlots(root);
  wireActions(root);
}

// Airflow shows this page in a frame that may not navigate the window; its own router can, and listens to the history.
function openInAirflow(event) {
  if (window.parent === window || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  let outer;
  try { outer = window.parent; void outer.location.href; } catch { return; }
  event.preventDefault();
  const index = outer.history.state?.idx ?? 0;
  outer.history.pushState({ idx: index + 1, key: String(Date.now()), usr: null }, "", event.currentTarget.href);
  outer.dispatchEvent(new PopStateEvent("popstate", { state: outer.history.state }));
}

// The same page again, without losing what one looks at: position, open details, what has the focus.
let live = true;
let fetching = false;

function isBusy() {
  const active = document.activeElement;
  const typing = active && active.matches("input, select, textarea");
  return typing || document.querySelector("dialog[open], [data-actions] button:disabled") || document.querySelector("[data-zoomed]") || String(document.getSelection());
}

async function refresh(asked) {
  if (fetching || (!asked && (!live || document.hidden || isBusy()))) return;
  fetching = true;
  try {
    const answer = await fetch(window.location.href, { headers: { accept: "text/html" }, credentials: "same-origin" });
    if (!answer.ok || answer.redirected) return;
    swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    // No answer this time; the page keeps telling how old it is, and asks again.
  } finally {
    fetching = false;
    schedule();
  }
}

function swap(fresh) {
  for (const selector of ["main", ".top .age"]) {
    const old = document.querySelector(selector);
    const made = fresh.querySelector(selector);
    if (!old || !made) continue;
    const open = [...old.querySelectorAll("details")].map((details) => details.open);
    const scrolled = [...old.querySelectorAll(".scroll")].map((region) => region.scrollLeft);
    const focused = old.contains(document.activeElement) ? path(document.activeElement) : null;
    old.replaceWith(document.adoptNode(made));
    made.querySelectorAll("details").forEach((details, place) => { details.open = open[place] ?? details.open; });
    made.querySelectorAll(".scroll").forEach((region, place) => { region.scrollLeft = scrolled[place] ?? 0; });
    // What an action told stays until another one tells something.
    const told = old.querySelector(".outcome:not(:empty)");
    if (told) made.querySelector(".outcome")?.replaceWith(told);
    if (focused) made.querySelectorAll(focused.selector)[focused.place]?.focus({ preventScroll: true });
    dress(made);
  }
  wireHead();
}

function path(element) {
  const selector = element.tagName.toLowerCase();
  const among = element.closest("main, .age")?.querySelectorAll(selector) ?? [];
  return { selector, place: [...among].indexOf(element) };
}

let waiting = 0;
function schedule() {
  window.clearTimeout(waiting);
  const soon = document.querySelector("[data-again]")?.dataset.again;
  waiting = window.setTimeout(() => { refresh(false).then(schedule); }, 1000 * (soon ? Number(soon) : REFRESH_S));
}

function wireHead() {
  const button = document.querySelector("[data-live]");
  button?.setAttribute("aria-pressed", String(live));
  button?.addEventListener("click", () => { live = !live; button.setAttribute("aria-pressed", String(live)); schedule(); });
  document.querySelector("[data-refresh]")?.addEventListener("click", (event) => { event.preventDefault(); refresh(true); });
}

// A run that was just started is to be seen soon.
document.addEventListener("started", (event) => { for (const link of event.detail.querySelectorAll("a[data-airflow]")) link.addEventListener("click", openInAirflow); });

// A choice in a select is a filter at once.
document.addEventListener("change", (event) => { if (event.target.matches("form.filter select")) event.target.form.requestSubmit(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(false); });
dress(document);
wireHead();
schedule();
