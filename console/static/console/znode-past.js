// The tab "History": the revisions of a znode, any two side by side, and the way back to one.

import { getJson } from "./http.js";
import { compared } from "./sides.js";
import { button, el, inBytes, plain, timeOf } from "./words.js";

const OPEN = "world:anyone:cdrwa";
const WORDS = { create: "created", setData: "changed", delete: "deleted", setACL: "ACL changed", deleteContainer: "deleted, as an empty container", createTTL: "created", createContainer: "created" };

export class Past {
  // `revert(text, format, row)`: have it saved, after a look.
  constructor(panel, urls, review, revert) {
    this.panel = panel;
    this.urls = urls;
    this.review = review;
    this.revert = revert;
    this.path = null;
  }

  // `zxid`: the revision that a link means.
  async show(path, zxid = "") {
    this.path = path;
    this.wanted = zxid;
    this.rows = [];
    this.chosen = [];
    this.list = el("ol", { className: "revisions" });
    this.more = button("Older", () => this.page());
    this.compare = button("Compare two", () => this.compareChosen(), { disabled: true, title: "Choose two revisions by their boxes" });
    this.panel.replaceChildren(el("p", { className: "hint" }, "Looking…"));
    this.cursor = "";
    await this.page(true);
  }

  async page(first = false) {
    const path = this.path;
    let got;
    try {
      got = await getJson(this.urls.revisions, { path, cursor: this.cursor });
    } catch (error) {
      this.panel.replaceChildren(el("p", { className: "problem" }, error.message));
      return;
    }
    if (path !== this.path) return;
    if (first && got.rows.length === 0) {
      this.panel.replaceChildren(
        el("p", {}, el("b", {}, "Nothing is known of its past.")),
        el("p", { className: "hint" }, "The collector writes down each change while it runs, for as long as the tenant's history is kept. What happened before that, or longer ago, is not here."));
      return;
    }
    this.cursor = got.cursor;
    this.list.append(...got.rows.map((row) => this.item(row)));
    this.rows.push(...got.rows);
    this.more.hidden = !got.cursor;
    if (first) {
      this.panel.replaceChildren(el("div", { className: "past-tools" }, this.compare), this.list, this.more);
      if (this.wanted) await this.showWanted();
    }
  }

  async showWanted() {
    const at = this.rows.findIndex((row) => BigInt(row.zxid) <= BigInt(this.wanted));
    const found = this.rows[at];
    if (!found) return;
    this.list.children[at].classList.add("wanted");
    this.list.children[at].scrollIntoView({ block: "nearest" });
    if (found.has_value) await this.look(found);
  }

  item(row) {
    const box = el("input", { type: "checkbox", disabled: !row.has_value, "aria-label": `Compare ${row.zxid}` });
    box.addEventListener("change", () => this.choose(row, box));
    const what = WORDS[row.operation] ?? plain(row.operation);
    const version = row.version === null ? "" : ` v${row.version}`;
    const size = row.bytes === null ? "" : `, ${inBytes(row.bytes)}`;
    const buttons = row.has_value
      ? [button("Look", () => this.look(row), { className: "quiet" }), ...(this.revert ? [button("Revert to it", () => this.back(row), { className: "quiet" })] : [])]
      : [];
    const where = [row.from && `from ${row.from}`, row.session && `session ${row.session}`].filter(Boolean).join(" · ");
    return el("li", { className: row.is_delete ? "gone" : "" }, box, el("div", {},
      el("p", { className: "what" }, el("span", {}, el("b", {}, `${what}${version}`), size), el("code", {}, row.zxid)),
      el("p", {}, el("bdi", {}, plain(row.who || "somebody without a credential")), ", ", timeOf(row.at)),
      where ? el("p", { className: "hint" }, plain(where)) : null,
      row.acl.length && `${row.acl}` !== OPEN ? el("p", { className: "hint" }, "ACL ", el("code", {}, el("bdi", {}, plain(row.acl.join(", "))))) : null,
      row.why ? el("p", { className: "hint" }, `No value: ${plain(row.why)}.`) : null,
      buttons.length ? el("p", { className: "acts" }, ...buttons) : null));
  }

  choose(row, box) {
    if (box.checked) this.chosen.push({ row, box });
    else this.chosen = this.chosen.filter((one) => one.box !== box);
    if (this.chosen.length > 2) this.chosen.shift().box.checked = false;
    this.compare.disabled = this.chosen.length !== 2;
  }

  value(row) {
    return getJson(this.urls.revision, { path: this.path, zxid: row.zxid });
  }

  async both(older, newer) {
    const [one, two] = await Promise.all([older ? this.value(older) : { text: "" }, this.value(newer)]);
    const name = (row) => (row ? `${row.version === null ? "" : `version ${row.version}, `}${row.zxid}` : "nothing before");
    this.review.fill(`${plain(this.path)}: ${older ? "two revisions" : "its first revision"}`,
      `${plain(newer.who || "Somebody without a credential")} ${WORDS[newer.operation] ?? newer.operation} it.`,
      compared(one.text ?? "", two.text ?? "", [name(older), name(newer)]), [button("Close", () => this.review.close())]);
  }

  // A revision beside the one before it.
  async look(row) {
    const at = this.rows.indexOf(row);
    const before = this.rows.slice(at + 1).find((one) => one.has_value);
    await this.attempt(() => this.both(before ?? null, row));
  }

  async compareChosen() {
    const [one, two] = this.chosen.map((each) => each.row).sort((a, b) => (BigInt(a.zxid) < BigInt(b.zxid) ? -1 : 1));
    await this.attempt(() => this.both(one, two));
  }

  async back(row) {
    await this.attempt(async () => {
      const was = await this.value(row);
      this.revert(was.text ?? "", was.format ?? "text", row);
    });
  }

  async attempt(work) {
    try {
      await work();
    } catch (error) {
      this.panel.prepend(el("p", { className: "problem", role: "alert" }, error.message));
    }
  }
}
