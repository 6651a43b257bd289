// Around the data: bookmarks, the field for a path, the menus.

import { getJson, postForm } from "./http.js";
import { joined } from "./tree-rows.js";
import { button, el, plain } from "./words.js";
import { COPIES } from "./znode-copy.js";

const COMPLETE_AFTER_MS = 120;
const byId = (id) => document.getElementById(id);

export class Bar {
  // `page`: {urls, marks, at(), go(path), link(text, path), address(path), say, hush, passing}
  constructor(page) {
    Object.assign(this, page);
    this.paint();
    this.copies();
    this.menus();
    this.jump();
    byId("mark").addEventListener("click", () => this.mark());
  }

  // Another znode is shown.
  follow() {
    byId("mark").setAttribute("aria-pressed", String(this.marks.includes(this.at().path)));
  }

  paint() {
    const box = byId("marks");
    box.hidden = this.marks.length === 0;
    box.querySelector("summary").textContent = `Bookmarks (${this.marks.length})`;
    box.querySelector("ul").replaceChildren(...this.marks.map((one) => el("li", {}, this.link(plain(one), one))));
    this.follow();
  }

  async mark() {
    const { path } = this.at();
    try {
      this.marks = (await postForm(this.urls.bookmark, { path, remove: this.marks.includes(path) ? "1" : "" })).bookmarks;
      this.paint();
    } catch (error) {
      this.say("bad", error.message);
    }
  }

  copies() {
    byId("copy").querySelector("ul").append(...COPIES.map(([label, text]) => el("li", {}, button(label, async () => {
      byId("copy").open = false;
      const { path } = this.at();
      const copied = text({ path, link: location.origin + this.address(path), api: location.origin + this.urls.api });
      try {
        await navigator.clipboard.writeText(copied);
        this.passing(`Copied: ${plain(copied)}`);
      } catch { // without TLS browsers give no clipboard
        this.say("", plain(copied), ["Close", this.hush]);
      }
    }))));
  }

  menus() {
    for (const menu of document.querySelectorAll(".tools details.menu")) {
      menu.addEventListener("keydown", (event) => {
        if (event.key !== "Escape") return;
        menu.open = false;
        menu.querySelector("summary").focus();
      });
      menu.addEventListener("click", (event) => { if (event.target.closest("li")) menu.open = false; });
      document.addEventListener("click", (event) => { if (!menu.contains(event.target)) menu.open = false; });
    }
  }

  jump() {
    const field = byId("jump");
    let typing = 0;
    field.form.addEventListener("submit", (event) => {
      event.preventDefault();
      const to = field.value.trim().replace(/\/+$/, "") || "/";
      this.go(to.startsWith("/") ? to : joined(this.at().path, to));
      field.value = "";
    });
    field.addEventListener("input", () => {
      clearTimeout(typing);
      const typed = field.value;
      if (!typed.startsWith("/")) return;
      typing = setTimeout(async () => {
        const { paths } = await getJson(this.urls.complete, { path: typed }).catch(() => ({ paths: [] }));
        if (typed === field.value) byId("jump-paths").replaceChildren(...paths.map((value) => el("option", { value })));
      }, COMPLETE_AFTER_MS);
    });
  }
}
