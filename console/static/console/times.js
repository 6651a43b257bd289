// Times in the viewer's own zone: <time datetime="2026-11-21T15:04:05Z">; what the server wrote, in
// UTC, stays as the title. `data-show`: minute (the default), second, ms, day, clock.

const SHOW = {
  day: { dateStyle: "medium" },
  minute: { dateStyle: "medium", timeStyle: "short" },
  second: { dateStyle: "medium", timeStyle: "medium" },
  ms: { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 },
  clock: { timeStyle: "medium" },
};
const formats = new Map();

export function local(date, show = "minute") {
  if (!formats.has(show)) formats.set(show, new Intl.DateTimeFormat(undefined, { ...(SHOW[show] ?? SHOW.minute), hour12: false }));
  return formats.get(show).format(date);
}

export function localTimes(within) {
  const found = within.querySelectorAll?.("time[datetime]:not([data-local])") ?? [];
  for (const element of found) {
    const date = new Date(element.dateTime);
    if (Number.isNaN(date.getTime())) continue;
    element.dataset.local = "";
    element.title ||= element.textContent.trim();
    element.textContent = local(date, element.dataset.show);
  }
}
