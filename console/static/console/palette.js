// The command palette: pages by name, what the page can do, and what the server finds for the text.
//
// Rows of the page: elements with data-command (its words) are clicked. Rows of the server: the
// address in the dialog's data-suggest answers {"rows": [{kind, label, hint, url}]}.

const dialog = document.getElementById("palette");
const input = dialog?.querySelector("input");
const list = dialog?.querySelector("ul");
const none = dialog?.querySelector(".none");
const SUGGEST_AFTER_MS = 120;
const SHOWN_MAX = 40;

let chosen = -1;
let asked = 0;
let timer = 0;

export function openPalette(text = "") {
  if (!dialog || dialog.open) return;
  addCommands();
  input.value = text;
  dialog.showModal();
  input.focus();
  refresh();
}

function addCommands() {
  for (const row of list.querySelectorAll("[data-of-page]")) row.remove();
  let number = 0;
  for (const element of document.querySelectorAll("[data-command]")) {
    if (element.disabled || element.closest("[hidden]")) continue;
    const row = makeRow("here", element.dataset.command || element.textContent.trim(), "this page", `pal-here-${number++}`);
    row.dataset.ofPage = "";
    row.act = () => element.click();
    list.prepend(row);
  }
}

function makeRow(kind, label, hint, id) {
  const row = document.createElement("li");
  row.setAttribute("role", "option");
  row.id = id;
  row.dataset.words = `${label} ${hint}`.toLowerCase();
  const mark = document.createElement("b");
  mark.textContent = kind;
  const name = document.createElement("span");
  name.textContent = label;
  const small = document.createElement("small");
  small.textContent = hint;
  row.append(mark, name, small);
  return row;
}

function shown() {
  return [...list.children].filter((row) => !row.hidden);
}

function choose(index) {
  const rows = shown();
  for (const row of list.children) row.setAttribute("aria-selected", "false");
  chosen = rows.length ? (index + rows.length) % rows.length : -1;
  input.removeAttribute("aria-activedescendant");
  if (chosen >= 0) {
    rows[chosen].setAttribute("aria-selected", "true");
    rows[chosen].scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", rows[chosen].id);
  }
}

function refresh() {
  const words = input.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of list.querySelectorAll("[data-of-server]")) row.remove();
  for (const row of list.children) row.hidden = !words.every((word) => row.dataset.words.includes(word));
  const path = input.value.trim();
  if (path.startsWith("/") && dialog.dataset.tree) {
    const row = makeRow("path", path, "open this znode", "pal-path");
    row.dataset.ofServer = "";
    row.dataset.url = dialog.dataset.tree + path.slice(1).split("/").map(encodeURIComponent).join("/");
    list.prepend(row);
  }
  choose(0);
  none.hidden = shown().length > 0;
  clearTimeout(timer);
  asked += 1; // what the server still finds for the text before is not wanted any more
  if (dialog.dataset.suggest && words.length) timer = setTimeout(suggest, SUGGEST_AFTER_MS);
}

async function suggest() {
  const number = asked;
  const url = `${dialog.dataset.suggest}?q=${encodeURIComponent(input.value.trim())}`;
  const answer = await fetch(url, { headers: { Accept: "application/json", "X-Background": "1" } }).catch(() => null);
  if (!answer?.ok || number !== asked || !dialog.open) return;
  const { rows } = await answer.json();
  for (const row of list.querySelectorAll("[data-of-server]:not(#pal-path)")) row.remove();
  rows.slice(0, SHOWN_MAX).forEach((one, at) => {
    const row = makeRow(one.kind, one.label, one.hint, `pal-found-${at}`);
    row.dataset.ofServer = "";
    row.dataset.url = one.url;
    list.append(row);
  });
  if (chosen < 0) choose(0);
  none.hidden = shown().length > 0;
}

function go(row) {
  dialog.close();
  if (row.act) row.act();
  else location.href = row.dataset.url;
}

input?.addEventListener("input", refresh);
dialog?.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    choose(chosen + (event.key === "ArrowDown" ? 1 : -1));
  } else if (event.key === "Enter") {
    event.preventDefault();
    const row = shown()[chosen];
    if (row) go(row);
  } else if (event.key === "?" && !input.value) {
    event.preventDefault();
    dialog.close();
    (document.getElementById("help-dialog") ?? document.getElementById("keys-dialog"))?.showModal();
  }
});
list?.addEventListener("click", (event) => {
  const row = event.target.closest("li");
  if (row) go(row);
});
dialog?.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});
