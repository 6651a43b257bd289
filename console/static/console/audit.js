// The audit page: draw over the timeline to narrow the time. Without this each bar is a link.

const LEAST = 6; // pixels: less is a click on a bar

function iso(ms) {
  return new Date(ms).toISOString();
}

for (const svg of document.querySelectorAll(".timeline svg")) {
  const chosen = svg.querySelector(".chosen");
  const since = Number(svg.dataset.since);
  const until = Number(svg.dataset.until);
  let from = null;

  const share = (event) => {
    const box = svg.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  };
  const show = (a, b) => {
    chosen.setAttribute("x", String(1000 * Math.min(a, b)));
    chosen.setAttribute("width", String(1000 * Math.abs(a - b)));
  };

  svg.addEventListener("pointerdown", (event) => {
    if (event.button === 0) from = { at: share(event), x: event.clientX };
  });
  svg.addEventListener("pointermove", (event) => {
    if (from && Math.abs(event.clientX - from.x) >= LEAST) show(from.at, share(event));
  });
  const end = (event) => {
    if (!from) return;
    const was = from;
    from = null;
    if (Math.abs(event.clientX - was.x) < LEAST) return;
    const [a, b] = [was.at, share(event)].sort((x, y) => x - y);
    const there = new URL(location.href);
    for (const name of ["span", "cursor", "before"]) there.searchParams.delete(name);
    there.searchParams.set("since", iso(since + a * (until - since)));
    there.searchParams.set("until", iso(since + b * (until - since)));
    svg.addEventListener("click", (click) => click.preventDefault(), { capture: true, once: true });
    location.assign(there);
  };
  window.addEventListener("pointerup", end);
  svg.addEventListener("dragstart", (event) => event.preventDefault());
}

// On a narrow page the list comes first.
if (matchMedia("(max-width: 1100px)").matches) document.querySelector(".facets details")?.removeAttribute("open");

// The line beside the list: shown when it has come, closed by its button or with Escape.
const line = document.getElementById("line");
if (line) {
  const rows = () => document.querySelectorAll(".events tr.open");
  const close = () => {
    const row = rows()[0];
    for (const each of rows()) each.classList.remove("open");
    line.replaceChildren();
    row?.querySelector("a")?.focus();
  };
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target !== line) return;
    for (const row of rows()) row.classList.remove("open");
    event.detail.requestConfig.elt.closest("tr")?.classList.add("open");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Close";
    button.addEventListener("click", close);
    line.querySelector("header")?.append(button);
    line.scrollIntoView({ block: "nearest" });
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && line.childElementCount && !document.querySelector("dialog[open]")) close();
  });
}
