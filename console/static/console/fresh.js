// A page's [data-fresh] part looks again by itself, as long as somebody may see it.
// The attribute says where, data-every how often (ms); the part has an id, by which it is found in the answer.

const now = document.querySelector("[data-fresh]");
const EVERY_MS = Number(now.dataset.every) || 3000;

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
    if (next && next.innerHTML !== now.innerHTML) {
      const focused = now.contains(document.activeElement) ? document.activeElement.id : "";
      now.replaceChildren(...document.importNode(next, true).childNodes);
      if (focused) document.getElementById(focused)?.focus();
    }
  }
  setTimeout(look, EVERY_MS);
}

setTimeout(look, EVERY_MS);
