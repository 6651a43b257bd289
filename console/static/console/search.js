// A search page: the keyboard, and what was searched for before (in this browser alone).

const box = document.getElementById("q");
const results = document.getElementById("results");
const KEPT = `searches ${location.pathname}`;
const KEPT_MAX = 8;
const KEPT_LENGTH = 200;

// The keyboard: from the box down through the hits and back.

const links = () => [...results.querySelectorAll(".hit-path a")];

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const at = document.activeElement;
  const found = links();
  const index = found.indexOf(at);
  if (at !== box && index < 0) return;
  if (event.key === "ArrowDown") {
    event.preventDefault();
    found[Math.min(index + 1, found.length - 1)]?.focus();
  } else if (event.key === "ArrowUp" && index >= 0) {
    event.preventDefault();
    (found[index - 1] ?? box).focus();
  } else if (event.key === "Escape" && index >= 0) {
    box.focus();
  }
});

// What was searched for: kept when somebody opens a hit or sends the box.

function kept() {
  try {
    const found = JSON.parse(localStorage.getItem(KEPT));
    return Array.isArray(found) ? found.filter((one) => typeof one === "string") : [];
  } catch {
    return [];
  }
}

function keep(words) {
  try {
    localStorage.setItem(KEPT, JSON.stringify(words.slice(0, KEPT_MAX)));
  } catch { /* no room, or not allowed: then there is none */ }
}

function remember() {
  const text = box.value.trim();
  if (text && text.length <= KEPT_LENGTH) keep([text, ...kept().filter((one) => one !== text)]);
}

function showKept() {
  const place = results.querySelector(".recent");
  const words = kept();
  if (!place || !words.length) return;
  place.querySelector("ul").replaceChildren(...words.map((text) => {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.className = "pill";
    link.href = `?${new URLSearchParams({ q: text })}`;
    link.textContent = text;
    link.title = text;
    item.append(link);
    return item;
  }));
  place.hidden = false;
}

box.form.addEventListener("submit", remember);
results.addEventListener("click", (event) => {
  if (event.target.closest(".hit-path a")) remember();
  if (event.target.closest("[data-forget]")) {
    keep([]);
    results.querySelector(".recent").hidden = true;
    box.focus();
  }
});
document.addEventListener("htmx:afterSwap", showKept);
showKept();
