// Elements out of plain values, and values of others as words that deceive nobody.

import { local } from "./times.js";

// What would turn, hide or end the text around it, as templatetags/plane.py has it.
const TRICKS = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

const spelled = (found) => `‹U+${found.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}›`;

export const plain = (text) => String(text).replace(TRICKS, spelled);

// The same of a text of many lines, which may have tabs.
export const plainLine = (text) => String(text).replace(TRICKS, (found) => (found === "\t" ? found : spelled(found)));

// What an editor's text hides: the code points, each once.
export function hidden(text) {
  const found = new Set();
  for (const [one] of text.matchAll(TRICKS)) {
    if (one !== "\n" && one !== "\t" && one !== "\r") found.add(spelled(one));
    if (found.size === 5) break;
  }
  return [...found];
}

// el("td", {className: "x", title: "y"}, "text", child)
export function el(kind, values = {}, ...inside) {
  const element = document.createElement(kind);
  for (const [name, value] of Object.entries(values)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...inside.filter((one) => one !== null && one !== undefined));
  return element;
}

export function button(label, act, values = {}) {
  const made = el("button", { type: "button", ...values }, label);
  made.addEventListener("click", act);
  return made;
}

const STEPS = [[1 << 30, "GiB"], [1 << 20, "MiB"], [1 << 10, "KiB"]];

export function inBytes(number) {
  for (const [step, unit] of STEPS) {
    if (number >= step) return `${(number / step).toPrecision(3)} ${unit}`;
  }
  return `${number} ${number === 1 ? "byte" : "bytes"}`;
}

// An instant in the viewer's zone; the title has UTC.
export function timeOf(ms) {
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) return el("span", {}, `${ms} ms`);
  const utc = at.toISOString();
  const made = el("time", { dateTime: utc, title: utc.replace("T", " ").replace("Z", " UTC") }, local(at, "second"));
  made.dataset.local = "";
  return made;
}
