// <znode-tree>: a tree of any size. Children come a page at a time, only rows in sight are in the document.

import { Node, SHOWN_MS, find, joined, measure, place, rowAt, rowOf } from "./tree-rows.js";
import { el, plain } from "./words.js";

export { joined };

const ROW_PX = 26;
const MARGIN_ROWS = 8;
const PAGE = 500;
const INDENT_PX = 14;
const LINES_MAX = 400; // elements that are kept for the way back
const FOLLOWED_MAX = 150; // paths whose changes are told
const SIGHT_AFTER_MS = 250;
const REST = 3; // a look at a large parent is followed by a rest of so many times its length,
const REST_MS_MAX = 2000; // up to this: who changes it all the time does not keep us busy

const stillness = matchMedia("(prefers-reduced-motion: reduce)");

class ZnodeTree extends HTMLElement {
  // fetchChildren(path, offset, count, around, background) -> {total, offset, rows: [[name, children, ephemeral]]}
  start(fetchChildren) {
    this.fetchChildren = fetchChildren;
    this.root = new Node(null, "/", 0);
    this.selected = null;
    this.current = this.root; // where the keyboard is
    this.lines = new Map();
    this.setAttribute("role", "tree");
    this.space = el("div", { className: "tree-space", role: "presentation" });
    this.append(this.space);
    this.addEventListener("scroll", () => this.paintSoon(), { passive: true });
    this.addEventListener("keydown", (event) => this.onKey(event));
    this.addEventListener("click", (event) => this.onClick(event));
    new ResizeObserver(() => this.paintSoon()).observe(this);
  }

  emit(kind, detail) { this.dispatchEvent(new CustomEvent(kind, { detail })); }
  find(path) { return find(this.root, path); }

  // Coming and going of rows

  async open(node) {
    node.open = true;
    if (!node.asked.size) await this.load(node, 0);
    this.settle();
    this.emit("sight");
  }

  close(node) {
    const shut = (one) => {
      one.open = false;
      for (const kid of one.byName.values()) if (kid.open) shut(kid);
    };
    shut(node);
    if (rowOf(this.current) < 0) this.current = node;
    this.settle();
  }

  async load(node, page) {
    if (node.asked.has(page)) return;
    node.asked.add(page);
    const got = await this.fetched(node, page * PAGE, "");
    if (got) this.take(node, [got]); else node.asked.delete(page);
  }

  async fetched(node, offset, around, background = false) {
    try {
      const got = await this.fetchChildren(node.path, offset, PAGE, around, background);
      this.problem = null;
      return got;
    } catch (error) {
      if (error.status !== 404) {
        this.problem = error.message;
        this.paintSoon();
      }
      return null;
    }
  }

  // What stands on top of what is seen stays there, whatever comes or goes above it.
  take(node, pages, now = null) {
    const top = this.total ? Math.floor(this.scrollTop / ROW_PX) : 0;
    const anchor = top > 0 ? rowAt(this.root, Math.min(top, this.total - 1)).node : null;
    const lost = place(node, pages, PAGE, now);
    this.measure();
    const row = anchor && anchor.parent?.kids.get(anchor.index) === anchor ? rowOf(anchor) : -1;
    if (row >= 0 && row !== top) {
      this.stretch();
      this.scrollTop += (row - top) * ROW_PX;
    }
    if (rowOf(this.current) < 0 || (this.current.parent && this.current.parent.byName.get(this.current.name) !== this.current)) this.current = node;
    this.paintSoon();
    return lost;
  }

  measure() { this.total = measure(this.root); }
  stretch() { this.space.style.height = `${this.total * ROW_PX}px`; }

  settle() {
    this.measure();
    this.paintSoon();
  }

  // The children of a path have changed. One look at a time, and a rest after a long one: what changes
  // meanwhile costs one more.
  async refresh(path) {
    const node = this.find(path);
    if (!node) return;
    const wait = (node.restUntil ?? 0) - performance.now();
    if (node.looking || wait > 0) {
      if (!node.looking && !node.timer) {
        node.timer = setTimeout(() => { node.timer = 0; this.refresh(path); }, wait);
      }
      node.lookAgain = node.looking;
      return;
    }
    node.looking = true;
    node.lookAgain = false;
    const began = performance.now();
    try {
      await this.look(node);
    } finally {
      const now = performance.now();
      node.restUntil = now + Math.min(REST_MS_MAX, REST * (now - began));
      node.looking = false;
    }
    if (node.lookAgain) this.refresh(path);
  }

  // Fetch again what is in sight or open; all else waits until it comes into sight.
  async look(node) {
    const now = performance.now();
    if (!node.open) {
      try {
        const { total } = await this.fetchChildren(node.path, 0, 1, "", true);
        if (total !== node.count) {
          node.delta = total - node.count;
          node.deltaAt = now;
        }
        node.count = total;
      } catch { /* it is gone, or the next event tells */ }
      node.asked = new Set();
      node.kids = new Map();
      node.byName = new Map();
      this.paintSoon();
      return;
    }
    const mine = this.sight().filter((row) => row.parent === node && row.node);
    const wanted = new Set([mine[0]?.node.name, mine.at(-1)?.node.name, ...node.opened.map((kid) => kid.name)]);
    wanted.delete(undefined);
    const isEnd = mine.length > 0 && mine.at(-1).index >= node.count - 2;
    const pages = new Map();
    for (const name of wanted.size ? wanted : [""]) {
      if ([...pages.values()].some((got) => got.rows.some(([one]) => one === name))) continue;
      const got = await this.fetched(node, 0, name, true);
      if (!got) return;
      pages.set(got.offset, got);
    }
    const last = Math.max(...pages.keys());
    if (isEnd && last + PAGE < pages.get(last).total) { // it has grown behind what is seen
      const got = await this.fetched(node, last + PAGE, "", true);
      if (got) pages.set(got.offset, got);
    }
    node.asked = new Set();
    this.take(node, [...pages.values()], now);
  }

  // The data of a znode was changed: its row says so for a moment.
  touch(path) {
    const node = this.find(path);
    if (!node) return;
    node.freshAt = performance.now();
    this.paintSoon();
  }

  // Open everything above a path and show its row.
  async reveal(path) {
    this.selected = path;
    let node = this.root;
    if (!node.open) await this.open(node);
    for (const name of path === "/" ? [] : path.slice(1).split("/")) {
      if (!node.open) await this.open(node);
      if (!node.byName.has(name)) {
        const got = await this.fetched(node, 0, name);
        if (got) this.take(node, [got]);
      }
      const kid = node.byName.get(name);
      if (!kid) break;
      node = kid;
    }
    this.measure();
    if (node.path === path) {
      this.current = node;
      this.scrollTo_(rowOf(node));
    }
    this.paintSoon();
  }

  // What is seen

  sight() {
    const first = Math.max(0, Math.floor(this.scrollTop / ROW_PX) - MARGIN_ROWS);
    const last = Math.min(this.total ?? 1, Math.ceil((this.scrollTop + this.clientHeight) / ROW_PX) + MARGIN_ROWS);
    const rows = [];
    for (let row = first; row < last; row++) rows.push({ row, ...rowAt(this.root, row) });
    return rows;
  }

  // Paths that the page should hear of: what is open, and what is in sight.
  followed() {
    const found = new Set();
    const add = (node) => {
      if (!node.open || found.size >= FOLLOWED_MAX) return;
      found.add(node.path);
      node.opened.forEach(add);
    };
    add(this.root);
    for (const { node } of this.sight()) {
      if (node && found.size < FOLLOWED_MAX) found.add(node.path);
    }
    return found;
  }

  paintSoon() {
    if (this.planned) return;
    this.planned = requestAnimationFrame(() => { this.planned = 0; this.paint(); });
  }

  paint() {
    if (!this.space) return;
    this.stretch();
    const now = performance.now();
    const sight = this.sight();
    this.hang(sight.map((row) => this.line(row, now)));
    this.setAttribute("aria-activedescendant", `row-${rowOf(this.current)}`);
    this.report(now);
    clearTimeout(this.toldSoon);
    this.toldSoon = setTimeout(() => this.emit("sight"), SIGHT_AFTER_MS);
  }

  // Only what has come, gone or changed is touched: most rows are where they were.
  hang(lines) {
    if (this.problem) lines.push(el("p", { className: "tree-problem" }, this.problem));
    const kept = new Set(lines);
    for (const one of [...this.space.children]) if (!kept.has(one)) one.remove();
    let at = this.space.firstChild;
    for (const one of lines) {
      if (one === at) at = at.nextSibling;
      else this.space.insertBefore(one, at);
    }
  }

  // The element of a row: the one from before, where it would be the same.
  line(one, now) {
    const { row, node, parent, index } = one;
    if (parent && !parent.asked.has(Math.floor(index / PAGE))) this.load(parent, Math.floor(index / PAGE));
    const looks = node === null ? "" : [
      node.path, node.count, node.open, node.ephemeral, node === this.current, node.path === this.selected,
      now - node.freshAt < SHOWN_MS && node.freshAt, now - node.deltaAt < SHOWN_MS && node.delta, parent?.count,
    ].join("\u0000");
    const before = this.lines.get(row);
    if (before && before.node === node && before.looks === looks) return before.element;
    const element = this.row(one, now);
    this.lines.set(row, { node, looks, element });
    if (this.lines.size > LINES_MAX) {
      for (const old of this.lines.keys()) {
        if (Math.abs(old - row) > LINES_MAX / 2) this.lines.delete(old);
      }
    }
    return element;
  }

  row({ row, node, parent, index }, now) {
    const depth = node ? node.depth : parent.depth + 1;
    const line = el("div", { className: "tree-row", id: `row-${row}`, role: "treeitem", ariaLevel: String(depth + 1) });
    line.dataset.at = row;
    line.style.top = `${row * ROW_PX}px`;
    line.style.paddingLeft = `${6 + depth * INDENT_PX}px`;
    if (parent) {
      line.ariaSetSize = String(parent.count);
      line.ariaPosInSet = String(index + 1);
    }
    if (!node) {
      line.classList.add("waiting");
      line.append(part("fold", ""), part("name", "…"));
      return line;
    }
    if (node === this.current) line.classList.add("cursor");
    line.title = plain(node.path);
    line.setAttribute("aria-selected", String(node.path === this.selected));
    if (node.count) line.setAttribute("aria-expanded", String(node.open));
    line.append(part("fold", node.count || node === this.root ? (node.open ? "▾" : "▸") : ""), part("name", plain(node.name)));
    if (node.ephemeral) line.append(el("span", { className: "mark", title: "ephemeral: goes with its session" }, "◷"));
    if (now - node.deltaAt < SHOWN_MS && node.delta) line.append(part(`delta ${node.delta > 0 ? "more" : "less"}`, (node.delta > 0 ? "+" : "−") + Math.abs(node.delta).toLocaleString("en")));
    if (node.count) line.append(part("count", node.count.toLocaleString("en")));
    if (now - node.freshAt < SHOWN_MS) this.mark(line, now - node.freshAt);
    return line;
  }

  mark(line, ageMs) {
    line.classList.add("fresh");
    if (stillness.matches) return;
    const flash = line.animate([{ backgroundColor: "var(--good-soft)" }, { backgroundColor: "transparent" }], { duration: SHOWN_MS, easing: "ease-out" });
    flash.currentTime = ageMs;
  }

  // One line under the tree, for who does not see the rows flash; and a last look when the marks end.
  report(now) {
    const moved = [];
    const visit = (node) => {
      if (now - node.deltaAt < SHOWN_MS && node.delta) moved.push(node);
      if (node.open) for (const kid of node.byName.values()) if (kid.open || now - kid.deltaAt < SHOWN_MS) visit(kid);
    };
    visit(this.root);
    const text = moved.slice(0, 2).map((node) => `${plain(node.name)}: ${Math.abs(node.delta).toLocaleString("en")} ${node.delta > 0 ? "more" : "fewer"}`).join(", ");
    if (text !== this.said) {
      this.said = text;
      this.emit("said", text);
    }
    clearTimeout(this.ending);
    if (moved.length || this.querySelector(".fresh")) this.ending = setTimeout(() => this.paintSoon(), SHOWN_MS / 6);
  }

  // Keys and clicks

  scrollTo_(row) {
    this.stretch();
    const top = row * ROW_PX;
    if (top < this.scrollTop || top + ROW_PX > this.scrollTop + this.clientHeight) {
      this.scrollTop = Math.max(0, top - this.clientHeight / 3);
    }
  }

  onClick(event) {
    const line = event.target.closest(".tree-row");
    const node = line && rowAt(this.root, Number(line.dataset.at)).node;
    if (!node) return;
    this.current = node;
    if (event.target.classList.contains("fold")) {
      if (node.open) this.close(node); else this.open(node);
      return;
    }
    this.choose(node);
    if (!node.open && node.count) this.open(node);
  }

  choose(node) {
    this.selected = node.path;
    this.paintSoon();
    this.emit("chosen", node.path);
  }

  async move(to) {
    const row = Math.max(0, Math.min(this.total - 1, to));
    let { node, parent, index } = rowAt(this.root, row);
    if (!node) {
      await this.load(parent, Math.floor(index / PAGE));
      node = rowAt(this.root, row).node;
    }
    if (node) this.current = node;
    this.scrollTo_(row);
    this.paintSoon();
  }

  onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const node = this.current;
    const at = rowOf(node);
    const page = Math.max(1, Math.floor(this.clientHeight / ROW_PX) - 1);
    const moves = { ArrowUp: -1, ArrowDown: 1, PageUp: -page, PageDown: page };
    if (event.key in moves) {
      this.move(at + moves[event.key]);
    } else if (event.key === "Home") {
      this.move(0);
    } else if (event.key === "End") {
      this.move(this.total - 1);
    } else if (event.key === "ArrowRight") {
      if (!node.open && node.count) this.open(node); else if (node.open) this.move(at + 1);
    } else if (event.key === "ArrowLeft") {
      if (node.open) this.close(node);
      else if (node.parent) this.move(rowOf(node.parent));
    } else if (event.key === "Enter") {
      this.choose(node);
    } else {
      return;
    }
    event.preventDefault();
  }
}

const part = (name, text) => el("span", { className: name }, text);

customElements.define("znode-tree", ZnodeTree);
