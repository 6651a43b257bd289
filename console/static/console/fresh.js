// A page's [data-fresh] part is kept up to date by a websocket, as long as somebody may see it.
// The attribute is the page's address; the part has an id, by which it is found in what comes.
// Focus, what is typed and what was scrolled sideways stay as they are. A part with [data-over] will not change
// any more.

import { Line } from "./line.js";
import { localTimes } from "./times.js";

const now = document.querySelector("[data-fresh]");
const TYPED = "input:not([type=hidden], [type=checkbox], [type=radio]), textarea, select";

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

function isOver() {
  return "over" in now.dataset;
}

function hear({ part }) {
  const next = new DOMParser().parseFromString(part, "text/html").getElementById(now.id);
  now.classList.toggle("stale", !next);
  if (next) localTimes(next);
  const isTyping = now.contains(document.activeElement) && document.activeElement.matches(TYPED);
  if (next && !isTyping && next.innerHTML !== now.innerHTML) replace(next);
  if (next && "over" in next.dataset) now.dataset.over = "";
  if (isOver()) line.close();
  else line.seen();
}

const line = isOver() ? null : new Line("/live/parts", {
  open: () => line.say({ do: "follow", part: now.dataset.fresh }),
  message: hear,
  state: (words) => {
    if (words === "signed out") location.reload();
    if (words === "reconnecting") now.classList.add("stale"); // what was there last is better than nothing
  },
});

document.addEventListener("visibilitychange", () => {
  if (!line || isOver()) return;
  if (document.hidden) line.close(); // nobody sees it: nobody works for it
  else line.connect();
});
