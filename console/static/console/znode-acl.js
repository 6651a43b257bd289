// The tab "ACL": who may do what, in words and in bits; changed, and tried out.

import { postForm } from "./http.js";
import { button, el, plain } from "./words.js";

// In the order of ZooKeeper's tools: letter, bit, words.
const BITS = [["c", 4, "create children"], ["d", 8, "delete children"], ["r", 1, "read"], ["w", 2, "write"], ["a", 16, "change the ACL"]];
const ALL = 31;

const KINDS = [
  ["world", "Anyone", null],
  ["digest-plain", "User and password", "user:password"],
  ["digest", "User and hash", "user:base64 of the SHA-1"],
  ["tenant", "A tenant's credential", "name@tenant"],
  ["ip", "An address", "10.0.0.0/8"],
  ["sasl", "A SASL user", "user or user@REALM"],
  ["x509", "A certificate", "CN=app,O=Example"],
  ["auth", "Whoever the console signs in as", null],
];

function words(perms) {
  const found = BITS.filter(([, bit]) => perms & bit).map(([, , name]) => name);
  if (found.length === BITS.length) return "everything";
  return found.join(", ") || "nothing";
}

function whom(scheme, id) {
  if (scheme === "world") return "anyone";
  if (scheme === "digest") return `user ${plain(id.split(":")[0])}`;
  if (scheme === "digest-plain") return `user ${plain(id.split(":")[0])} (new password)`;
  if (scheme === "tenant") return `credential ${plain(id)}`;
  if (scheme === "ip") return `address ${plain(id)}`;
  if (scheme === "auth") return "whoever the console signs in as";
  return `${plain(scheme)} ${plain(id)}`;
}

export class AclTab {
  // `saved(znode)`: the server has taken it. `mayChange`: whether this person may.
  constructor(panel, urls, mayChange, credentials, saved) {
    Object.assign(this, { panel, urls, mayChange, saved });
    this.credentials = credentials;
    this.edited = null;
  }

  get dirty() { return this.edited !== null; }

  show(path, znode) {
    const isOther = path !== this.path;
    this.path = path;
    this.znode = znode;
    if (isOther) this.edited = null;
    if (isOther || this.edited === null) this.paint();
  }

  paint() {
    const acl = this.znode?.acl;
    if (!acl) {
      this.panel.replaceChildren(el("p", { className: "hint" }, this.znode ? "Its ACL is not readable for you." : ""));
      return;
    }
    const rows = this.edited ?? acl.map(([scheme, id, , perms]) => ({ scheme, id, perms }));
    const problem = el("p", { className: "problem", role: "alert", hidden: true });
    this.problem = problem;
    const parts = [this.table(rows), problem];
    if (this.edited) parts.push(this.adding(rows), this.ending());
    else if (this.mayChange) parts.push(el("p", { className: "acts" }, button("Change the ACL", () => { this.edited = rows; this.paint(); })));
    this.panel.replaceChildren(...parts, this.tester());
  }

  table(rows) {
    const head = el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Who"), el("th", { scope: "col" }, "May"), ...(this.edited ? [el("th", {}, el("span", { className: "hidden" }, "Remove"))] : [])));
    const body = el("tbody", {}, ...rows.map((row, index) => el("tr", {},
      el("td", { title: plain(`${row.scheme}:${row.id}`) }, el("b", {}, whom(row.scheme, row.id)), el("small", {}, `${plain(row.scheme)}${row.scheme === "digest-plain" ? "" : `:${plain(row.id)}`}`)),
      el("td", {}, this.bits(row), el("small", { className: "words" }, words(row.perms))),
      ...(this.edited ? [el("td", {}, button("✕", () => { rows.splice(index, 1); this.paint(); }, { className: "quiet", title: "Remove this entry", "aria-label": `Remove ${whom(row.scheme, row.id)}` }))] : []))));
    return el("table", { className: "acl" }, head, body);
  }

  bits(row) {
    return el("span", { className: "bits", role: "group", "aria-label": `Permissions of ${whom(row.scheme, row.id)}` },
      ...BITS.map(([letter, bit, name]) => {
        const made = button(letter, () => {
          row.perms ^= bit;
          made.setAttribute("aria-pressed", String(Boolean(row.perms & bit)));
          made.closest("td").querySelector(".words").textContent = words(row.perms);
        }, { title: name, "aria-label": name, "aria-pressed": String(Boolean(row.perms & bit)), disabled: !this.edited });
        return made;
      }));
  }

  adding(rows) {
    const kind = el("select", { "aria-label": "Whom to add" }, ...KINDS.map(([key, name]) => el("option", { value: key }, name)));
    const id = el("input", { type: "text", spellcheck: false, autocomplete: "off", hidden: true, "aria-label": "Id" });
    kind.addEventListener("change", () => {
      const hint = KINDS.find(([key]) => key === kind.value)[2];
      id.hidden = hint === null;
      id.type = kind.value === "digest-plain" ? "password" : "text";
      id.placeholder = hint ?? "";
      id.value = "";
    });
    const add = button("Add", () => {
      if (!id.hidden && !id.value.trim()) {
        this.fail(`Say who: ${id.placeholder}.`);
        return;
      }
      rows.push({ scheme: kind.value, id: kind.value === "world" ? "anyone" : id.hidden ? "" : id.value.trim(), perms: kind.value === "world" ? 1 : ALL });
      this.paint();
    });
    return el("div", { className: "adding" }, kind, id, add);
  }

  ending() {
    return el("p", { className: "acts" },
      button("Save the ACL", () => this.save(), { className: "primary" }),
      button("Cancel", () => { this.edited = null; this.paint(); }));
  }

  fail(...inside) {
    this.problem.replaceChildren(...inside);
    this.problem.hidden = false;
  }

  async save(sure = "") {
    const { path, znode } = this;
    const acl = JSON.stringify(this.edited.map(({ scheme, id, perms }) => [scheme, id, perms]));
    try {
      const saved = await postForm(this.urls.acl, { path, acl, aversion: znode.aversion, czxid: znode.czxid, sure });
      if (path !== this.path) return;
      this.edited = null;
      this.saved(saved);
    } catch (error) {
      if (error.body?.warnings) {
        this.fail(el("span", {}, `${error.message} `), button("Save it all the same", () => this.save("1"), { className: "danger" }));
      } else if (error.body?.theirs) {
        this.znode = error.body.theirs;
        const theirs = this.znode.acl?.map(([scheme, id, , perms]) => `${plain(scheme)}:${plain(id)} ${words(perms)}`).join("; ");
        this.fail(el("span", {}, `${error.message} It is now: ${theirs}. `),
          button("Save mine over it", () => this.save(sure)), button("Take theirs", () => { this.edited = null; this.paint(); }));
      } else {
        this.fail(error.message);
      }
    }
  }

  tester() {
    const list = el("datalist", { id: "known-identities" },
      ...["me", "anyone", ...this.credentials.map((name) => `credential:${name}`), "ip:", "digest:", "digest-plain:user:password", "sasl:", "x509:", "super"].map((value) => el("option", { value })));
    const who = el("input", { id: "test-who", type: "text", spellcheck: false, autocomplete: "off", value: this.asked ?? "anyone" });
    who.setAttribute("list", "known-identities");
    const result = el("div", { "aria-live": "polite" });
    const form = el("form", { className: "tester" },
      el("label", { htmlFor: "test-who" }, "May this identity do it?"),
      el("div", { className: "adding" }, who, list, el("button", { type: "submit" }, "Try")), result);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      this.asked = who.value;
      try {
        const got = await postForm(this.urls.aclTest, { path: this.path, who: who.value });
        result.replaceChildren(el("table", { className: "verdicts" }, el("tbody", {}, ...got.verdicts.map((one) => el("tr", {},
          el("th", { scope: "row" }, one.what),
          el("td", { className: one.allowed ? "good" : one.allowed === null ? "" : "bad" }, one.allowed ? "✓ yes" : one.allowed === null ? "?" : "✕ no"),
          el("td", { className: "hint" }, plain(one.why)))))),
          el("p", { className: "hint" }, "By the ACL as it is saved. A server that runs with skipACL lets everybody."));
      } catch (error) {
        result.replaceChildren(el("p", { className: "problem" }, error.message));
      }
    });
    return form;
  }
}
