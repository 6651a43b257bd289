// What fires is brought anew every five seconds: who is on one of its links stays there.

const firing = document.getElementById("firing");
let held = null;

document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target !== firing) return;
  const focused = document.activeElement;
  held = firing.contains(focused) ? focused.getAttribute("href") : null;
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target !== firing || held === null) return;
  const same = [...firing.querySelectorAll("a")].find((link) => link.getAttribute("href") === held);
  same?.focus({ preventScroll: true });
});
