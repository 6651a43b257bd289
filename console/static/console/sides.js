// Two texts side by side as a table, and three as parts to choose from.

import { sideBySide } from "./lines.js";
import { button, el, plainLine } from "./words.js";

const ROWS_MAX = 2000; // of a comparison; a longer one says so
const PART_ROWS_MAX = 400; // the same of one part of a merge

// One line, with what differs from the other one marked.
function line(text, other) {
  if (text === null) return [""];
  if (other === null || other === undefined || text === other) return [plainLine(text)];
  let start = 0;
  let end = 0;
  const most = Math.min(text.length, other.length);
  while (start < most && text[start] === other[start]) start++;
  while (end < most - start && text[text.length - 1 - end] === other[other.length - 1 - end]) end++;
  const middle = text.slice(start, text.length - end);
  if (middle.length > text.length * 0.8) return [plainLine(text)];
  return [plainLine(text.slice(0, start)), el("mark", {}, plainLine(middle)), plainLine(text.slice(text.length - end))];
}

const SIGNS = { changed: ["−", "+"], gone: ["−", ""], new: ["", "+"], "": ["", ""] };

export function compared(before, after, names) {
  const rows = sideBySide(before, after);
  const body = el("tbody");
  for (const [left, one, right, two, kind] of rows.slice(0, ROWS_MAX)) {
    if (kind === "skipped") {
      body.append(el("tr", { className: "skipped" }, el("td", { colSpan: 4 }, `${left} lines are the same`)));
      continue;
    }
    const [minus, plus] = SIGNS[kind];
    body.append(el("tr", {},
      el("td", { className: "at" }, left ? String(left) : ""),
      el("td", { className: minus && "old" }, el("i", {}, minus), ...line(one, kind === "changed" ? two : null)),
      el("td", { className: "at" }, right ? String(right) : ""),
      el("td", { className: plus && "new" }, el("i", {}, plus), ...line(two, kind === "changed" ? one : null))));
  }
  if (rows.length > ROWS_MAX) {
    body.append(el("tr", { className: "skipped" }, el("td", { colSpan: 4 }, `${rows.length - ROWS_MAX} rows more are not shown`)));
  }
  const head = el("thead", {}, el("tr", {}, el("th", { colSpan: 2, scope: "col" }, names[0]), el("th", { colSpan: 2, scope: "col" }, names[1])));
  const widths = el("colgroup", {}, ...["at", "", "at", ""].map((className) => el("col", { className })));
  return el("table", { className: "sides" }, widths, head, body);
}

const WHOSE = { mine: "mine", theirs: "theirs", both: "both the same" };
const CONTEXT = 3;

// The parts of a merge as one text; conflicts with their choices. Calls `chosen` after each.
export function mergeView(parts, chosen) {
  const box = el("div", { className: "merge" });
  parts.forEach((part, index) => {
    if (part.kind === "same") {
      const all = part.lines;
      const head = index === 0 ? [] : all.slice(0, CONTEXT);
      const tail = index === parts.length - 1 ? [] : all.slice(Math.max(head.length, all.length - CONTEXT));
      const skipped = all.length - head.length - tail.length;
      box.append(...rowsOf(head, ""));
      if (skipped > 0) box.append(el("div", { className: "skipped" }, `${skipped} lines are the same`));
      box.append(...rowsOf(tail, ""));
    } else if (part.kind !== "conflict") {
      box.append(el("section", { className: `part ${part.kind}` },
        el("header", {}, `${WHOSE[part.kind]}`), ...rowsOf(part.base, "old"), ...rowsOf(part.lines, "new")));
    } else {
      box.append(conflict(part, chosen));
    }
  });
  return box;
}

function rowsOf(all, kind) {
  const lines = all.length > PART_ROWS_MAX ? [...all.slice(0, PART_ROWS_MAX), `… and ${all.length - PART_ROWS_MAX} lines more`] : all;
  return lines.map((text) => el("div", { className: `row ${kind}` }, el("i", {}, { old: "−", new: "+" }[kind] ?? ""), plainLine(text)));
}

function conflict(part, chosen) {
  const choices = [["Theirs", part.theirs], ["Mine", part.mine], ["Theirs, then mine", [...part.theirs, ...part.mine]], ["As it was", part.base]];
  const buttons = choices.map(([label, lines]) => button(label, () => {
    part.lines = lines;
    section.classList.add("settled");
    buttons.forEach((one) => one.setAttribute("aria-pressed", String(one.textContent === label)));
    result.replaceChildren(...(lines.length ? rowsOf(lines, "new") : [el("div", { className: "row" }, "(no line)")]));
    chosen();
  }, { "aria-pressed": "false" }));
  const result = el("div", { className: "result", "aria-live": "polite" });
  const side = (name, lines, kind) => el("div", {}, el("h3", {}, name), ...(lines.length ? rowsOf(lines, kind) : [el("div", { className: "row" }, "(removed)")]));
  const section = el("section", { className: "part conflict" },
    el("header", {}, el("b", {}, "Both have changed this"), el("span", { className: "choices" }, ...buttons)),
    el("div", { className: "three" }, side("It was", part.base, "old"), side("Theirs", part.theirs, "new"), side("Mine", part.mine, "new")),
    result);
  return section;
}
