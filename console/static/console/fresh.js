// A page's [data-fresh] part looks again by itself, as long as somebody may see it.
// The attribute says where, data-every how often (ms); the part has an id, by which it is found in
// the answer. Focus and what was scrolled sideways stay as they are.

import { localTimes } from "./times.js";

const now = document.querySelector("[data-fresh]");
const EVERY_MS = Number(now.dataset.every) || 3000;

function nameOf(element) {
  if (element?.id) return `#${CSS.escape(element.id)}`;
  const href = element?.getAttribute?.("href");
  return href ? `a[href="${CSS.escape(href)}"]` : "";
}

function replace(next) {
  const focused = now.contains(document.activeElement) ? nameOf(document.activeElement) : "";
  const scrolled = [...now.querySelectorAll(".rows")].map((part) => part.scrollLeft);
  now.replaceChildren(...document.importNode(next, true).childNodes);
  now.querySelectorAll(".rows").forEach((part, at) => { part.scrollLeft = scrolled[at] ?? 0; });
  if (focused) now.querySelector(focused)?.focus({ preventScroll: true });
}

async function look() {
  if (!document.hidden) {
    let page;
    try {
      const response = await fetch(now.dataset.fresh, { headers: { "X-Background": "1" } });
      page = new DOMParser().parseFromString(await response.text(), "text/html");
    } catch {
      page = null; // the console is down: what was there last is better than nothing
    }
    const next = page?.getElementById(now.id);
    if (page && !next) {
      location.reload(); // signed out
      return;
    }
    now.classList.toggle("stale", !next);
    if (next) localTimes(next);
    if (next && next.innerHTML !== now.innerHTML) replace(next);
  }
  setTimeout(look, EVERY_MS);
}

setTimeout(look, EVERY_MS);
