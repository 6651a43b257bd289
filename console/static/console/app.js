// What every page does: light and dark, the rail, times in the viewer's zone, keys, the palette.

import "./counts.js";
import { openPalette } from "./palette.js";
import { localTimes } from "./times.js";

const root = document.documentElement;

export function isDark() {
  const chosen = root.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function keep(name, value) {
  try { localStorage.setItem(name, value); } catch { /* it holds for this page */ }
}

document.querySelector("[data-theme-toggle]")?.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  keep("theme", root.dataset.theme);
  document.dispatchEvent(new CustomEvent("themechange"));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  document.dispatchEvent(new CustomEvent("themechange"));
});

document.querySelector("[data-rail-toggle]")?.addEventListener("click", () => {
  root.dataset.rail = root.dataset.rail === "narrow" ? "wide" : "narrow";
  keep("rail", root.dataset.rail);
  window.dispatchEvent(new Event("resize"));
});

localTimes(document);
document.addEventListener("htmx:load", (event) => localTimes(event.detail.elt));

for (const button of document.querySelectorAll("[data-palette]")) {
  button.hidden = false;
  button.addEventListener("click", () => openPalette());
}

const isTyping = (element) =>
  element.matches?.("input, textarea, select, [contenteditable]") || element.closest?.(".ace_editor, dialog");

let wentAt = -Infinity;
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    openPalette();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event.target)) return;
  if (event.timeStamp - wentAt < 1500) {
    wentAt = -Infinity;
    const link = document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
    if (link) {
      event.preventDefault();
      event.stopImmediatePropagation();
      location.href = link.href;
    }
  } else if (event.key === "g") {
    wentAt = event.timeStamp;
  } else if (event.key === "/") {
    const field = document.querySelector("main [role=search] input, main input[type=search]");
    if (field) {
      event.preventDefault();
      field.focus();
      field.select();
    }
  } else if (event.key === "?" && !document.getElementById("help-dialog")) {
    event.preventDefault();
    document.getElementById("keys-dialog")?.showModal();
  }
}, true);
