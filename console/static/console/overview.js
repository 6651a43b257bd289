// The overview looks again by itself, as long as somebody may see it.

const EVERY_MS = 3000;

async function look() {
  if (!document.hidden) {
    let page;
    try {
      const response = await fetch(location.href, { headers: { "X-Background": "1" } });
      page = new DOMParser().parseFromString(await response.text(), "text/html");
    } catch {
      page = null; // the console is down: what was there last is better than nothing
    }
    const now = document.getElementById("health");
    const next = page?.getElementById("health");
    if (page && !next) {
      location.reload(); // signed out
      return;
    }
    now.classList.toggle("stale", !next);
    if (next && next.innerHTML !== now.innerHTML) now.replaceChildren(...document.importNode(next, true).childNodes);
  }
  setTimeout(look, EVERY_MS);
}

setTimeout(look, EVERY_MS);
