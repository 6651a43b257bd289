// The page of a znode: tree on the left, data in the middle, and what others do to it meanwhile.

import { getJson, postForm } from "./http.js";
import { Live } from "./live.js";
import { Editor } from "./editor.js";
import { joined } from "./tree.js";

const page = document.querySelector(".browser");
const urls = page.dataset;
const first = JSON.parse(document.getElementById("first").textContent);
const byId = (id) => document.getElementById(id);
const tree = document.querySelector("znode-tree");
const notice = byId("notice");
const mayWrite = first.may_write;

let path = first.path;
let shown = null; // the znode as the server gave it last; null where there is none
let theirs = null; // what somebody else saved while we were editing
const editor = new Editor(byId("editor"), urls.ace, !mayWrite, update);

// What is on the page

function say(kind, text, ...buttons) {
  notice.className = `notice ${kind}`;
  const span = document.createElement("span");
  span.textContent = text;
  notice.replaceChildren(span, ...buttons.map(([label, act]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.addEventListener("click", act);
    return button;
  }));
  notice.hidden = false;
}

function hush() { notice.hidden = true; }

function update() {
  const dirty = shown !== null && !shown.too_large && editor.dirty;
  byId("diff").disabled = !dirty && !editor.comparing;
  byId("diff").setAttribute("aria-pressed", String(editor.comparing));
  document.title = `${dirty ? "• " : ""}${path} · Ensemble`;
  if (!mayWrite) return;
  byId("save").disabled = !dirty;
  byId("save").textContent = dirty ? `Save v${shown.version} → v${shown.version + 1}` : "Save";
  byId("delete").disabled = shown === null || path === "/";
  byId("create").disabled = shown === null;
}

function fillTable(table, rows, cells) {
  table.tBodies[0].replaceChildren(...rows.map((row) => {
    const line = document.createElement("tr");
    line.append(...cells(row));
    return line;
  }));
}

function cell(kind, text, title) {
  const element = document.createElement(kind);
  element.textContent = text;
  if (title) element.title = title;
  return element;
}

function facts(znode) {
  fillTable(byId("stat"), znode ? znode.stat : [], ([name, value, why]) => [cell("th", name, why), cell("td", value)]);
  const acl = znode?.acl ?? [];
  fillTable(byId("acl"), acl, ([scheme, id, may]) => [cell("td", scheme), cell("td", id), cell("td", may)]);
  if (znode && znode.acl === null) fillTable(byId("acl"), [0], () => [cell("td", "not readable")]);
}

function blank(title, text, link) {
  const box = byId("empty");
  const head = document.createElement("b");
  head.textContent = title;
  const body = document.createElement("span");
  body.textContent = text;
  box.replaceChildren(head, body);
  if (link) box.append(link);
  box.hidden = false;
}

function show(znode, keepText = false) {
  shown = znode;
  facts(znode);
  byId("format").value = znode.format;
  byId("empty").hidden = true;
  if (znode.too_large) {
    const link = document.createElement("a");
    link.href = `${urls.raw}?${new URLSearchParams({ path })}`;
    link.textContent = "Download it";
    blank("Too large for the editor", `${znode.bytes.toLocaleString("en")} bytes of data.`, link);
    editor.show("", "text");
  } else {
    editor.show(znode.text, znode.format, keepText);
  }
  update();
}

function showError(error) {
  shown = null;
  facts(null);
  editor.show("", "text");
  if (error.status === 404) {
    const up = document.createElement("button");
    up.type = "button";
    up.textContent = "To its parent";
    up.addEventListener("click", () => go(parentOf(path)));
    blank("No such znode", error.message, path === "/" ? null : up);
  } else {
    const again = document.createElement("button");
    again.type = "button";
    again.textContent = "Try again";
    again.addEventListener("click", () => load());
    blank(error.status === 403 ? "Not readable" : "No answer", error.message, again);
  }
  update();
}

const parentOf = (of) => of.slice(0, Math.max(1, of.lastIndexOf("/")));

// Going places

function address(to) {
  return urls.root + to.slice(1).split("/").map(encodeURIComponent).join("/");
}

async function load(format = "") {
  const asked = path;
  try {
    const znode = await getJson(urls.data, { path: asked, format });
    if (asked === path) show(znode);
  } catch (error) {
    if (asked === path) showError(error);
  }
}

function mayLeave() {
  return shown === null || shown.too_large || !editor.dirty || confirm(`Your changes of ${path} are not saved. Leave them?`);
}

async function go(to, push = true) {
  if (to === path && shown) return;
  if (!mayLeave()) return;
  if (!tree.find(path)?.open) live.unwatch(path);
  path = to;
  theirs = null;
  hush();
  byId("path").textContent = to;
  byId("path").title = to;
  const past = byId("history");
  if (past) past.href = `${past.dataset.at}?${new URLSearchParams({ path: to })}`;
  page.classList.remove("tree-open");
  if (push) history.pushState({ path: to }, "", address(to));
  live.watch(to);
  await load();
  await tree.reveal(to);
}

addEventListener("popstate", () => {
  const to = `/${decodeURIComponent(location.pathname.slice(urls.root.length))}`;
  go(to, false);
});
addEventListener("beforeunload", (event) => {
  if (shown !== null && !shown.too_large && editor.dirty) event.preventDefault();
});

// What others do

const live = new Live(onEvent, (state) => {
  const pill = byId("live");
  pill.textContent = state;
  pill.className = `pill ${state === "live" ? "good" : "bad"}`;
}, urls.live);

async function onEvent({ event, path: at }) {
  if (event === "unwatched") {
    byId("live").title = `Too many znodes are open: ${at} is not followed. Close some.`;
    return;
  }
  if (event === "children" || event === "gap" || event === "created") await tree.refresh(at);
  if (event === "deleted") await tree.refresh(parentOf(at));
  if (at !== path) return;
  if (event === "deleted" && shown !== null) {
    if (editor.dirty) {
      say("bad", "This znode was deleted. Your text is still here: copy it before you leave.");
    } else {
      showError({ status: 404, message: `${path} was deleted just now.` });
    }
    return;
  }
  let znode;
  try {
    znode = await getJson(urls.data, { path: at, format: shown ? shown.format : "" }, true);
  } catch (error) {
    if (shown === null || !editor.dirty) showError(error);
    return;
  }
  if (at !== path) return;
  if (shown === null) {
    show(znode);
  } else if (znode.mzxid === shown.mzxid) {
    shown = { ...znode, text: shown.text, format: shown.format };
    facts(znode);
  } else if (!editor.dirty) {
    show(znode);
    byId("stat").classList.remove("flash");
    requestAnimationFrame(() => byId("stat").classList.add("flash"));
  } else {
    conflict(znode, `Somebody saved version ${znode.version} while you were editing.`);
  }
}

function conflict(znode, text) {
  theirs = znode;
  facts(znode);
  say("", `${text} Nothing of yours is lost.`,
    ["Compare", () => { editor.startDiff(theirs.text); update(); }],
    ["Take theirs", () => { hush(); show(theirs); theirs = null; }],
    ["Keep mine, on top of theirs", () => {
      hush();
      shown = theirs;
      theirs = null;
      editor.show(shown.text, byId("format").value, true);
      update();
    }]);
}

// Changing things

async function save() {
  if (!mayWrite || byId("save").disabled) return;
  byId("save").disabled = true;
  const values = { path, version: shown.version, czxid: shown.czxid, format: byId("format").value, text: editor.text };
  try {
    const znode = await postForm(urls.save, values);
    theirs = null;
    hush();
    show(znode);
    say("good", `Saved as version ${znode.version}.`);
    setTimeout(() => { if (notice.classList.contains("good")) hush(); }, 2500);
  } catch (error) {
    if (error.body?.theirs) conflict(error.body.theirs, error.message);
    else say("bad", error.message);
  }
  update();
}

function dialog(id, prepare, send) {
  const box = byId(id);
  const problem = box.querySelector(".problem");
  box.querySelector("[value=cancel]").addEventListener("click", () => box.close());
  box.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.hidden = true;
    try {
      await send();
      box.close();
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    }
  });
  return () => {
    if (shown === null) return;
    problem.hidden = true;
    prepare();
    for (const target of box.querySelectorAll(".target")) target.textContent = path;
    box.showModal();
  };
}

const kind = () => document.querySelector("[name=mode]:checked").value;

const openCreate = dialog("create-dialog", () => {
  byId("new-name").value = "";
  byId("new-text").value = "";
}, async () => {
  const made = await postForm(urls.create, {
    parent: path, name: byId("new-name").value, mode: kind(), ttl_ms: byId("new-ttl").value, text: byId("new-text").value,
  });
  await tree.refresh(path);
  await go(made.path);
});

const openDelete = dialog("delete-dialog", () => {
  byId("confirm").value = "";
  byId("delete-dialog").querySelector(".name").textContent = path.slice(path.lastIndexOf("/") + 1);
}, async () => {
  await postForm(urls.delete, { path, version: shown.version, confirm: byId("confirm").value });
  editor.show("", "text");
  const parent = parentOf(path);
  await go(parent);
  await tree.refresh(parent);
});

// Buttons and keys

function toggleDiff() {
  if (editor.comparing) editor.endDiff();
  else editor.startDiff();
  update();
}

byId("diff").addEventListener("click", toggleDiff);
byId("copy").addEventListener("click", () => navigator.clipboard?.writeText(path));
byId("format").addEventListener("change", async (event) => {
  if (shown && editor.dirty) {
    say("", "Save or undo your changes first: another format would lose them.");
    event.target.value = shown.format;
  } else {
    await load(event.target.value);
  }
});
byId("show-tree").addEventListener("click", () => page.classList.toggle("tree-open"));
if (mayWrite) {
  byId("save").addEventListener("click", save);
  byId("create").addEventListener("click", openCreate);
  byId("delete").addEventListener("click", openDelete);
  document.querySelectorAll("[name=mode]").forEach((choice) => {
    choice.addEventListener("change", () => { byId("ttl-field").hidden = kind() !== "ttl"; });
  });
}

document.querySelector(".jump").addEventListener("submit", (event) => {
  event.preventDefault();
  const to = byId("jump").value.trim().replace(/\/+$/, "") || "/";
  go(to.startsWith("/") ? to : joined(path, to));
  byId("jump").value = "";
});

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "s") {
    event.preventDefault();
    save();
    return;
  }
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.closest("input, textarea, select, dialog, .ace_editor")) return;
  const acts = {
    "/": () => byId("jump").focus(),
    "e": () => editor.focus(),
    "n": () => mayWrite && openCreate(),
    "d": () => { if (!byId("diff").disabled) toggleDiff(); },
    "?": () => byId("help-dialog").showModal(),
  };
  if (event.key in acts) {
    event.preventDefault();
    acts[event.key]();
  }
});

// The tree

tree.addEventListener("chosen", (event) => go(event.detail));
tree.addEventListener("opened", (event) => live.watch(event.detail));
tree.addEventListener("closed", (event) => { if (event.detail !== path) live.unwatch(event.detail); });
tree.start((of, offset, count, around, background) => getJson(urls.children, { path: of, offset, count, around }, background));

live.watch(path);
if (first.znode) show(first.znode);
else load();
tree.reveal(path);
