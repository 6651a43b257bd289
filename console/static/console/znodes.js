// The page of a znode: tree on the left, data in the middle, what is known of it on the right, and what
// others do to it meanwhile.

import { Drafts } from "./drafts.js";
import { Editor } from "./editor.js";
import { fileText } from "./files.js";
import { getJson, postForm } from "./http.js";
import { Live } from "./live.js";
import "./tree.js";
import { button, el, hidden, plain, timeOf } from "./words.js";
import { AclTab } from "./znode-acl.js";
import { Bar } from "./znode-bar.js";
import { creating, deleting } from "./znode-dialogs.js";
import { Past } from "./znode-past.js";
import { compared } from "./sides.js";
import { Review } from "./znode-review.js";

const CHECK_AFTER_MS = 400;
const CHECKED = new Set(["json", "xml", "yaml", "properties", "hex", "base64"]);
const CHECKED_MAX = 256 * 1024;

const page = document.querySelector(".browser");
const urls = page.dataset;
const first = JSON.parse(document.getElementById("first").textContent);
const byId = (id) => document.getElementById(id);
const tree = document.querySelector("znode-tree");
const notice = byId("notice");
const mayWrite = first.may_write;
const drafts = new Drafts(`${urls.who} ${urls.root}`);
const review = new Review(byId("review"));

let path = first.path;
let shown = null; // the znode as the server gave it last; null where there is none
let deleted = null; // the path that was here until it was deleted
let theirs = null; // what somebody else saved while we were editing
let problem = null; // what is wrong with the text, as the server says
let checking = 0;

const editor = new Editor(byId("editor"), urls.ace, !mayWrite, () => { update(); later(); });
const aclTab = new AclTab(byId("panel-acl"), urls, first.may_acl, JSON.parse(byId("credentials").textContent), (znode) => {
  shown = { ...shown, acl: znode.acl, aversion: znode.aversion, stat: znode.stat };
  facts();
  passing("The ACL is saved.");
});
const past = new Past(byId("panel-past"), urls, review, mayWrite ? revert : null);

// What is on the page

function say(kind, text, ...buttons) {
  notice.className = `notice ${kind}`;
  notice.replaceChildren(el("span", {}, text), ...buttons.map(([label, act]) => button(label, act)));
  notice.hidden = false;
}

function hush() { notice.hidden = true; }

function passing(text) {
  say("good", text);
  setTimeout(() => { if (notice.classList.contains("good")) hush(); }, 2500);
}

const isDirty = () => shown !== null && !shown.too_large && editor.dirty;

function update() {
  const dirty = isDirty();
  byId("diff").disabled = !dirty;
  document.title = `${dirty ? "• " : ""}${plain(path)} · Ensemble`;
  if (!mayWrite) return;
  byId("save").disabled = !dirty;
  byId("save").replaceChildren("Save", dirty ? el("span", {}, ` v${shown.version} → v${shown.version + 1}`) : "");
  byId("delete").disabled = shown === null || path === "/";
  byId("create").disabled = shown === null || shown.ephemeral;
  byId("create").title = shown?.ephemeral ? "An ephemeral znode has no children" : "New child (n)";
  byId("layout").hidden = !shown || !["json", "xml"].includes(byId("format").value);
}

// A while after the last key: keep the text, and have it looked at.
function later() {
  clearTimeout(checking);
  checking = setTimeout(() => { keep(); check(); }, CHECK_AFTER_MS);
}

function keep() {
  if (isDirty()) drafts.put(path, { text: editor.text, base: shown.text, format: byId("format").value, version: shown.version, czxid: shown.czxid, at: Date.now() });
  else if (shown) drafts.drop(path);
}

async function check() {
  const format = byId("format").value;
  const text = editor.text;
  const at = path;
  if (!shown || shown.too_large) return;
  let found = null;
  if (CHECKED.has(format) && text.length <= CHECKED_MAX && isDirty()) {
    try {
      found = (await postForm(urls.check, { text, format })).problem;
    } catch { /* the save will tell */ }
  }
  if (at === path && text === editor.text) verdict(found, text);
}

function verdict(found, text) {
  problem = found;
  editor.point(found);
  const tricks = hidden(text);
  const box = byId("verdict");
  box.hidden = !found && tricks.length === 0;
  box.classList.toggle("bad", Boolean(found));
  box.textContent = found ? `Line ${found.line}, column ${found.column}: ${found.text}` : `Holds what cannot be seen: ${tricks.join(" ")}`;
}

byId("verdict").addEventListener("click", () => problem && editor.goTo(problem));

function facts() {
  byId("stat").tBodies[0].replaceChildren(...(shown?.stat ?? []).map(([name, value, why]) => el("tr", {},
    el("th", { scope: "row", title: why }, name),
    el("td", {}, /^\d{4}-.*Z$/.test(value) ? timeOf(Date.parse(value.replace(" ", "T"))) : value))));
  aclTab.show(path, shown);
}

function blank(title, text, ...more) {
  byId("empty").replaceChildren(el("b", {}, title), el("span", {}, text), ...more);
  byId("empty").hidden = false;
}

function show(znode, keepText = false) {
  shown = znode;
  deleted = null;
  facts();
  const select = byId("format");
  for (const option of select.options) option.disabled = !znode.formats.includes(option.value);
  select.value = znode.format;
  byId("empty").hidden = true;
  if (znode.too_large) {
    blank("Too large for the editor", `${znode.bytes.toLocaleString("en")} bytes of data.`,
      el("a", { href: `${urls.raw}?${new URLSearchParams({ path })}` }, "Download it"));
    editor.show("", "text");
  } else {
    editor.show(znode.text, znode.language, keepText);
  }
  editor.locked = znode.too_large;
  verdict(null, editor.text);
  update();
}

// What was typed here before and not saved comes back.
function bringBack() {
  const draft = mayWrite && shown && !shown.too_large ? drafts.get(path) : null;
  if (!draft || draft.text === shown.text) return;
  const latest = shown;
  const mine = draft.text;
  if (latest.format !== draft.format && latest.formats.includes(draft.format)) {
    load(draft.format).then(bringBack);
    return;
  }
  const isSame = draft.version === latest.version && draft.czxid === latest.czxid;
  if (!isSame) shown = { ...latest, version: draft.version, czxid: draft.czxid, text: draft.base };
  editor.show(shown.text, latest.language);
  editor.type(mine);
  update();
  if (isSame) {
    say("", `What you had typed at ${new Date(draft.at).toLocaleTimeString()} is back, not saved.`,
      ["Throw it away", () => { drafts.drop(path); hush(); show(latest); }]);
  } else {
    conflict(latest, `What you had typed is back, and somebody saved version ${latest.version} meanwhile.`);
  }
}

function showError(error) {
  shown = null;
  facts();
  editor.show("", "text");
  editor.locked = true;
  if (error.status === 404) {
    const up = path === "/" ? null : button("To its parent", () => go(parentOf(path)));
    const was = button("What it was", () => openTab("past"));
    blank("No such znode", error.message, up, was);
  } else if (error.status === 401) {
    blank("Signed out", error.message, el("a", { className: "button", href: `${urls.signIn}?${new URLSearchParams({ next: location.pathname })}` }, "Sign in"));
  } else {
    blank(error.status === 403 ? "Not readable" : "No answer", error.message, button("Try again", () => load()));
  }
  update();
}

const parentOf = (of) => of.slice(0, Math.max(1, of.lastIndexOf("/")));

// Going places

function address(to) {
  return urls.root + to.slice(1).split("/").map(encodeURIComponent).join("/");
}

function crumbs() {
  const names = path === "/" ? [] : path.slice(1).split("/");
  const links = [crumb("/", "/")];
  names.forEach((name, index) => {
    const to = `/${names.slice(0, index + 1).join("/")}`;
    if (index) links.push("/");
    links.push(index === names.length - 1 ? el("b", {}, plain(name)) : crumb(plain(name), to));
  });
  byId("path").replaceChildren(...links);
  byId("path").title = plain(path);
  byId("path").scrollLeft = byId("path").scrollWidth;
  bar.follow();
  byId("download").href = `${urls.raw}?${new URLSearchParams({ path })}`;
  for (const link of document.querySelectorAll("#more a[data-bulk]")) {
    link.dataset.bulk ||= link.getAttribute("href").split("?")[0];
    link.href = `${link.dataset.bulk}?${new URLSearchParams({ path })}`;
  }
}

function crumb(text, to) {
  const link = el("a", { href: address(to) }, text);
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    go(to);
  });
  return link;
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
  if (!isDirty()) return true;
  keep();
  return confirm(`Your changes of ${plain(path)} are not saved. Leave them? They wait for you here until this tab is closed.`);
}

async function go(to, push = true) {
  if (to === path && shown) return;
  if (!mayLeave()) {
    if (!push) history.pushState({ path }, "", address(path));
    return;
  }
  path = to;
  theirs = null;
  hush();
  crumbs();
  page.classList.remove("tree-open");
  if (push) history.pushState({ path: to }, "", address(to));
  follow();
  await load();
  bringBack();
  if (!byId("panel-past").hidden) past.show(path);
  await tree.reveal(to);
}

addEventListener("popstate", () => {
  const to = `/${decodeURIComponent(location.pathname.slice(urls.root.length))}`;
  go(to, false);
});
addEventListener("beforeunload", (event) => {
  if (!isDirty()) return;
  keep();
  event.preventDefault();
});

// What others do

const live = new Live(onEvent, (state) => {
  const pill = byId("live");
  pill.textContent = state;
  pill.className = `pill ${state === "live" ? "good" : "bad"}`;
  if (state === "signed out") signedOut();
}, urls.live, (at) => at === path || Boolean(tree.find(at)?.open));

// Followed are: the znode that is shown, what is open in the tree, what is in sight there.
function follow() { live.only(new Set([path, ...tree.followed()])); }

async function onEvent({ event, path: at }) {
  if (event === "unwatched") {
    byId("live").title = `Too many znodes are open: ${plain(at)} is not followed. Close some.`;
    return;
  }
  if (event === "children" || event === "gap" || event === "created") await tree.refresh(at);
  if (event === "deleted") await tree.refresh(parentOf(at));
  if (event === "data") tree.touch(at);
  if (at !== path) return;
  if (event === "deleted" && shown !== null) {
    gone();
    return;
  }
  let znode;
  try {
    znode = await getJson(urls.data, { path: at, format: shown ? byId("format").value : "" }, true);
  } catch (error) {
    if (at !== path) return;
    if (error.status === 404 && shown !== null) gone(); // before there was a watch: a gap tells of it
    else if (!isDirty() && !(error.status === 404 && deleted === at)) showError(error);
    return;
  }
  if (at !== path) return;
  if (!byId("panel-past").hidden && shown && znode.mzxid !== shown.mzxid) past.show(path);
  if (shown === null) {
    show(znode);
    bringBack();
  } else if (znode.mzxid === shown.mzxid && znode.czxid === shown.czxid) {
    shown = { ...znode, text: shown.text, format: shown.format };
    facts();
  } else if (!isDirty()) {
    show(znode);
    byId("stat").classList.remove("flash");
    requestAnimationFrame(() => byId("stat").classList.add("flash"));
  } else {
    conflict(znode, `Somebody saved version ${znode.version} while you were editing.`);
  }
}

// What is shown was deleted by somebody.
function gone() {
  deleted = path;
  if (isDirty()) {
    keep();
    say("bad", "This znode was deleted by somebody else. Your text is still here.", ["Create it again with my text", again]);
  } else {
    showError({ status: 404, message: `${plain(path)} was deleted just now.` });
  }
}

// Somebody was faster: what is typed stays, and a merge is offered.
function conflict(znode, text) {
  theirs = znode;
  keep();
  say("", `${text} Nothing of yours is lost.`, ["Look and merge", meet], ["Take theirs", () => take(theirs.text)]);
}

function meet() {
  review.meet({ path: plain(path), base: shown.text, mine: editor.text, theirs, format: byId("format").value, take, save: send });
}

// Their version is the base now, and this is the text on top of it.
function take(text) {
  hush();
  show(theirs);
  theirs = null;
  if (text !== shown.text) editor.type(text);
  keep();
  update();
}

// Changing things

function save() {
  if (!mayWrite || !isDirty() || review.isOpen) return;
  if (theirs) {
    meet();
    return;
  }
  review.changes({ path: plain(path), version: shown.version, before: shown.text, after: editor.text, problem, save: send });
}

// Hexadecimal goes without what is there for reading.
const compact = (text, format) => (format === "hex" ? text.replace(/\|.*$/gm, "").replace(/[ \t]+/g, "") : text);

async function send() {
  const format = byId("format").value;
  const at = path;
  try {
    const znode = await postForm(urls.save, { path, version: shown.version, czxid: shown.czxid, format, text: compact(editor.text, format) });
    drafts.drop(at);
    if (at !== path) return;
    theirs = null;
    show(znode);
    review.close();
    passing(`Saved as version ${znode.version}.`);
  } catch (error) {
    if (error.body?.theirs) {
      conflict(error.body.theirs, error.message);
      meet();
      return;
    }
    keep();
    if (error.status === 401) {
      review.close();
      signedOut();
      return;
    }
    throw error;
  }
}

async function makeAgain(text, format) {
  const at = path.lastIndexOf("/");
  await postForm(urls.create, { parent: path.slice(0, at) || "/", name: path.slice(at + 1), mode: "persistent", acl: "parent", parents: "1", format, text: compact(text, format) });
  drafts.drop(path);
  await load();
  await tree.refresh(parentOf(path));
}

async function again() {
  try {
    await makeAgain(editor.text, byId("format").value);
    hush();
  } catch (error) {
    say("bad", error.message, ["Try again", again]);
  }
}

// The text waits until somebody is signed in again: in another tab, as this one holds it.
function signedOut() {
  keep();
  say("bad", "Your session is over. Your text stays here: sign in in another tab, then come back.",
    ["Sign in", () => open(urls.signIn, "_blank", "noopener")], ["I am signed in again", comeBack]);
}

async function comeBack() {
  const answer = await fetch(location.href);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const token = fresh.querySelector(".browser [name=csrfmiddlewaretoken]");
  if (!token || fresh.querySelector(".browser").dataset.who !== urls.who) {
    signedOut();
    return;
  }
  document.querySelector("[name=csrfmiddlewaretoken]").value = token.value;
  hush();
  live.connect();
}

// An old value becomes the newest one: through the editor and the same look before.
async function revert(text, format, row) {
  if (shown === null) {
    review.fill(`${plain(path)}: create it again`, "It is gone. It comes back with this value, as a persistent znode with the ACL of its parent; its children do not come back.",
      compared("", text, ["Nothing", row.zxid]), [button("Not now", () => review.close()),
        review.action("Create it again", async () => { await makeAgain(text, format); review.close(); passing("It is back."); past.show(path); }, { className: "primary" })]);
    return;
  }
  if (isDirty()) throw new Error("Save or undo your own changes first.");
  if (byId("format").value !== format) await load(format);
  editor.type(text);
  if (!isDirty()) {
    passing("That is what it is now.");
    return;
  }
  review.changes({ path: `${plain(path)}, back to ${row.zxid}`, version: shown.version, before: shown.text, after: text, problem: null, save: send });
}

const at = () => ({ path, znode: shown });
const openCreate = creating(urls, at, async (made) => {
  await tree.refresh(path);
  await go(made);
});
const openDelete = deleting(urls, at, async (gone) => {
  drafts.drop(gone);
  shown = null;
  await go(parentOf(gone));
  await tree.refresh(path);
});

// A file instead of what is there: through the editor, so that it is looked at before it is saved.
async function readFile(file) {
  if (!file || !shown) return;
  try {
    const { text, format } = await fileText(file);
    if (format === "base64") {
      await load("base64");
    } else if (["hex", "base64", "gzip"].includes(byId("format").value)) {
      byId("format").querySelector("[value=text]").disabled = false;
      byId("format").value = "text";
    }
    editor.type(text);
    later();
    save();
  } catch (error) {
    say("bad", error.message);
  }
}

// Tabs, buttons and keys

const TABS = ["stat", "acl", "past"];

function openTab(name) {
  for (const one of TABS) {
    byId(`panel-${one}`).hidden = one !== name;
    byId(`tab-${one}`).setAttribute("aria-selected", String(one === name));
    byId(`tab-${one}`).tabIndex = one === name ? 0 : -1;
  }
  if (name === "past") past.show(path, new URLSearchParams(location.search).get("zxid") ?? "");
}

TABS.forEach((name, index) => {
  byId(`tab-${name}`).addEventListener("click", () => openTab(name));
  byId(`tab-${name}`).addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = TABS[(index + step + TABS.length) % TABS.length];
    openTab(next);
    byId(`tab-${next}`).focus();
  });
});

function look() {
  if (theirs) meet();
  else if (isDirty()) review.changes({ path: plain(path), version: shown.version, before: shown.text, after: editor.text, problem, save: mayWrite ? send : null });
}

async function layOut() {
  try {
    const { text } = await postForm(urls.check, { text: editor.text, format: byId("format").value, layout: "1" });
    if (text !== editor.text) editor.type(text);
    else passing("It is in order already.");
  } catch (error) {
    say("bad", error.message);
  }
}

byId("diff").addEventListener("click", look);

// Long lines: folded on a phone, and wherever somebody has chosen it.
function wrap(is) {
  editor.wraps = is;
  byId("wrap").setAttribute("aria-pressed", String(is));
}
byId("wrap").addEventListener("click", () => {
  wrap(!editor.wraps);
  try { localStorage.setItem("wrap", editor.wraps ? "1" : ""); } catch { /* it holds for this page */ }
});
let wraps = null;
try { wraps = localStorage.getItem("wrap"); } catch { /* nothing was chosen */ }
wrap(wraps === null ? matchMedia("(max-width: 720px)").matches : wraps === "1");
byId("help").addEventListener("click", () => byId("help-dialog").showModal());
byId("format").addEventListener("change", async (event) => {
  if (shown && isDirty()) {
    say("", "Save or undo your changes first: another format would lose them.");
    event.target.value = shown.format;
  } else {
    await load(event.target.value);
  }
});
byId("show-tree").addEventListener("click", () => page.classList.toggle("tree-open"));
document.addEventListener("click", (event) => { // on a phone the tree lies above the rest
  if (!event.target.closest(".side, #show-tree")) page.classList.remove("tree-open");
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") page.classList.remove("tree-open"); });
if (mayWrite) {
  byId("save").addEventListener("click", save);
  byId("create").addEventListener("click", openCreate);
  byId("delete").addEventListener("click", openDelete);
  byId("layout").addEventListener("click", layOut);
  byId("upload").addEventListener("click", () => byId("file").click());
  byId("file").addEventListener("change", async (event) => {
    await readFile(event.target.files[0]);
    event.target.value = "";
  });
}

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
    "b": () => bar.mark(),
    "d": look,
    "a": () => openTab("acl"),
    "h": () => openTab("past"),
    "?": () => byId("help-dialog").showModal(),
  };
  if (event.key in acts) {
    event.preventDefault();
    acts[event.key]();
  }
});

// The tree

tree.addEventListener("chosen", (event) => go(event.detail));
tree.addEventListener("sight", follow);
tree.addEventListener("said", (event) => { byId("tree-said").textContent = event.detail; });
tree.start((of, offset, count, around, background) => getJson(urls.children, { path: of, offset, count, around }, background));

const bar = new Bar({ urls, marks: first.bookmarks ?? [], at, go, link: crumb, address, say, hush, passing });
follow();
crumbs();
if (first.znode) show(first.znode);
else load();
bringBack();
tree.reveal(path);
if (new URLSearchParams(location.search).has("zxid")) openTab("past");
