// The numbers beside words of the rail: how many alerts fire, how many requests wait.

const rail = document.getElementById("rail");
const EVERY_MS = 20_000;

async function look() {
  if (!document.hidden) {
    const answer = await fetch(rail.dataset.counts, { headers: { Accept: "application/json", "X-Background": "1" } }).catch(() => null);
    if (answer?.status === 401) return; // signed out: the page says it where it matters
    if (answer?.ok) show(await answer.json());
  }
  setTimeout(look, EVERY_MS);
}

function show({ counts, most }) {
  for (const [route, { count, bad }] of Object.entries(counts)) {
    const link = rail.querySelector(`[data-route="${route}"]`);
    if (!link) continue;
    let mark = link.querySelector(".count");
    if (!mark) {
      mark = document.createElement("span");
      link.append(mark);
    }
    mark.className = bad ? "count bad" : "count";
    mark.hidden = count === 0;
    mark.textContent = count > most ? `${most}+` : String(count);
  }
}

if (rail?.dataset.counts) look();
