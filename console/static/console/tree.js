// <znode-tree>: a tree of any size. Children come a page at a time, only rows in sight are in the document.

const ROW_PX = 26;
const MARGIN_ROWS = 8;
const PAGE = 500;
const INDENT_PX = 14;

export function joined(parent, name) {
  return parent === "/" ? `/${name}` : `${parent}/${name}`;
}

class Node {
  constructor(parent, path, name, count, ephemeral) {
    this.parent = parent;
    this.path = path;
    this.name = name;
    this.count = count;
    this.ephemeral = ephemeral;
    this.open = false;
    this.kids = [];
    this.asked = new Set();
    this.depth = parent ? parent.depth + 1 : 0;
    this.looking = false;
    this.lookAgain = false;
  }
}

class ZnodeTree extends HTMLElement {
  // fetchChildren(path, offset, count, around) -> {total, offset, rows: [[name, children, ephemeral]]}
  start(fetchChildren) {
    this.fetchChildren = fetchChildren;
    this.root = new Node(null, "/", "/", 0, false);
    this.selected = null;
    this.cursor = 0;
    this.rows = [];
    this.setAttribute("role", "tree");
    this.space = document.createElement("div");
    this.space.className = "tree-space";
    this.append(this.space);
    this.addEventListener("scroll", () => this.paint(), { passive: true });
    this.addEventListener("keydown", (event) => this.onKey(event));
    this.addEventListener("click", (event) => this.onClick(event));
    new ResizeObserver(() => this.paint()).observe(this);
  }

  emit(kind, path) {
    this.dispatchEvent(new CustomEvent(kind, { detail: path }));
  }

  async open(node) {
    node.open = true;
    this.emit("opened", node.path);
    if (!node.asked.size) await this.load(node, 0);
    this.flatten();
  }

  close(node) {
    const shut = (one) => {
      if (one.open) {
        one.open = false;
        this.emit("closed", one.path);
        one.kids.forEach((kid) => kid && shut(kid));
      }
    };
    shut(node);
    this.flatten();
  }

  async load(node, page) {
    if (node.asked.has(page)) return;
    node.asked.add(page);
    const got = await this.fetched(node, page * PAGE, "");
    if (got) this.take(node, got); else node.asked.delete(page);
  }

  // The page on which a name stands, wherever that is.
  async loadAround(node, name) {
    const got = await this.fetched(node, 0, name);
    if (got) {
      node.asked.add(got.offset / PAGE);
      this.take(node, got);
    }
  }

  async fetched(node, offset, around, background = false) {
    try {
      const got = await this.fetchChildren(node.path, offset, PAGE, around, background);
      this.problem = null;
      return got;
    } catch (error) {
      if (error.status !== 404) {
        this.problem = error.message;
        this.paint();
      }
      return null;
    }
  }

  take(node, got) {
    const before = new Map();
    node.kids.forEach((kid) => kid && before.set(kid.name, kid));
    this.place(node, got, before);
    this.flatten();
  }

  // Put a page where it belongs; a child that was there before stays the same object, open or not.
  place(node, got, before) {
    node.count = got.total;
    node.kids.length = got.total;
    got.rows.forEach(([name, count, ephemeral], index) => {
      const kid = before.get(name) ?? new Node(node, joined(node.path, name), name, count, ephemeral);
      kid.count = count;
      kid.ephemeral = Boolean(ephemeral);
      node.kids[got.offset + index] = kid;
    });
  }

  // The children of a path have changed. One look at a time: what changes during it costs one more.
  async refresh(path) {
    const node = this.find(path);
    if (!node) return;
    if (node.looking) {
      node.lookAgain = true;
      return;
    }
    node.looking = true;
    try {
      do {
        node.lookAgain = false;
        await this.look(node);
      } while (node.lookAgain);
    } finally {
      node.looking = false;
    }
  }

  // Fetch again what is in sight or open; all else waits until it comes into sight.
  async look(node) {
    if (!node.open) {
      try {
        node.count = (await this.fetchChildren(node.path, 0, 1, "", true)).total;
      } catch { /* it is gone, or the next event tells */ }
      node.asked = new Set();
      node.kids = [];
      this.paint();
      return;
    }
    const pages = new Set([0]);
    for (const row of this.sight()) {
      if (row.parent === node) pages.add(Math.floor(row.index / PAGE));
    }
    const open = node.kids.filter((kid) => kid?.open);
    const fetched = [];
    for (const page of pages) fetched.push(await this.fetched(node, page * PAGE, "", true));
    for (const kid of open) {
      const seen = fetched.some((got) => got?.rows.some(([name]) => name === kid.name));
      if (!seen) fetched.push(await this.fetched(node, 0, kid.name, true));
    }
    if (fetched.includes(null)) return;
    const before = new Map();
    node.kids.forEach((kid) => kid && before.set(kid.name, kid));
    node.asked = new Set(fetched.map((got) => got.offset / PAGE));
    node.kids = [];
    for (const got of fetched) this.place(node, got, before);
    const now = new Set(node.kids.filter((kid) => kid));
    open.forEach((kid) => { if (!now.has(kid)) this.close(kid); });
    this.flatten();
  }

  find(path) {
    let node = this.root;
    if (path === "/") return node;
    for (const name of path.slice(1).split("/")) {
      node = node.kids.find((kid) => kid && kid.name === name);
      if (!node) return null;
    }
    return node;
  }

  // Open everything above a path and show its row, where it is among the loaded ones.
  async reveal(path) {
    this.selected = path;
    let node = this.root;
    if (!node.open) await this.open(node);
    if (path !== "/") {
      const names = path.slice(1).split("/");
      for (let depth = 0; depth < names.length; depth++) {
        const named = (one) => one && one.name === names[depth];
        let kid = node.kids.find(named);
        if (!kid) {
          await this.loadAround(node, names[depth]);
          kid = node.kids.find(named);
        }
        if (!kid) break;
        if (depth < names.length - 1 && !kid.open) await this.open(kid);
        node = kid;
      }
    }
    const at = this.rows.findIndex((row) => row.node && row.node.path === path);
    if (at >= 0) {
      this.cursor = at;
      this.scrollToRow(at);
    }
    this.paint();
  }

  flatten() {
    const rows = [];
    const add = (node, at) => {
      rows.push({ node, parent: node.parent, index: at });
      if (!node.open) return;
      for (let index = 0; index < node.kids.length; index++) {
        const kid = node.kids[index];
        if (kid && kid.open) {
          add(kid, index);
        } else {
          rows.push({ node: kid ?? null, parent: node, index });
        }
      }
    };
    add(this.root, 0);
    const current = this.rows[this.cursor]?.node;
    this.rows = rows;
    if (current) {
      const at = rows.findIndex((row) => row.node === current);
      if (at >= 0) this.cursor = at;
    }
    this.cursor = Math.min(this.cursor, rows.length - 1);
    this.space.style.height = `${rows.length * ROW_PX}px`;
    this.paint();
  }

  sight() {
    const first = Math.max(0, Math.floor(this.scrollTop / ROW_PX) - MARGIN_ROWS);
    const last = Math.min(this.rows.length, Math.ceil((this.scrollTop + this.clientHeight) / ROW_PX) + MARGIN_ROWS);
    this.first = first;
    return this.rows.slice(first, last);
  }

  paint() {
    if (!this.space) return;
    const sight = this.sight();
    const rows = sight.map((row, offset) => this.row(row, this.first + offset));
    if (this.problem) {
      const problem = document.createElement("p");
      problem.className = "tree-problem";
      problem.textContent = this.problem;
      rows.push(problem);
    }
    this.space.replaceChildren(...rows);
    this.setAttribute("aria-activedescendant", `row-${this.cursor}`);
  }

  row(row, at) {
    const line = document.createElement("div");
    const node = row.node;
    const depth = node ? node.depth : row.parent.depth + 1;
    line.className = "tree-row";
    line.id = `row-${at}`;
    line.dataset.at = at;
    line.style.top = `${at * ROW_PX}px`;
    line.style.paddingLeft = `${6 + depth * INDENT_PX}px`;
    line.setAttribute("role", "treeitem");
    line.setAttribute("aria-level", depth + 1);
    if (at === this.cursor) line.classList.add("cursor");
    if (!node) {
      line.classList.add("waiting");
      line.append(part("fold", ""), part("name", "…"));
      this.load(row.parent, Math.floor(row.index / PAGE));
      return line;
    }
    line.title = node.path;
    line.setAttribute("aria-selected", String(node.path === this.selected));
    if (node.count) line.setAttribute("aria-expanded", String(node.open));
    line.append(part("fold", node.count || node === this.root ? (node.open ? "▾" : "▸") : ""));
    line.append(part("name", node.name));
    if (node.ephemeral) {
      const mark = part("mark", "◷");
      mark.title = "ephemeral: goes with its session";
      line.append(mark);
    }
    if (node.count) line.append(part("count", node.count.toLocaleString("en")));
    return line;
  }

  scrollToRow(at) {
    const top = at * ROW_PX;
    if (top < this.scrollTop || top + ROW_PX > this.scrollTop + this.clientHeight) {
      this.scrollTop = Math.max(0, top - this.clientHeight / 3);
    }
  }

  onClick(event) {
    const line = event.target.closest(".tree-row");
    const node = line && this.rows[line.dataset.at]?.node;
    if (!node) return;
    this.cursor = Number(line.dataset.at);
    if (event.target.classList.contains("fold")) {
      if (node.open) this.close(node); else this.open(node);
      return;
    }
    this.choose(node);
    if (!node.open && node.count) this.open(node);
  }

  choose(node) {
    this.selected = node.path;
    this.paint();
    this.emit("chosen", node.path);
  }

  move(to) {
    this.cursor = Math.max(0, Math.min(this.rows.length - 1, to));
    this.scrollToRow(this.cursor);
    this.paint();
  }

  onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const node = this.rows[this.cursor]?.node;
    const page = Math.max(1, Math.floor(this.clientHeight / ROW_PX) - 1);
    const moves = { ArrowUp: -1, ArrowDown: 1, PageUp: -page, PageDown: page };
    if (event.key in moves) {
      this.move(this.cursor + moves[event.key]);
    } else if (event.key === "Home") {
      this.move(0);
    } else if (event.key === "End") {
      this.move(this.rows.length - 1);
    } else if (event.key === "ArrowRight" && node) {
      if (!node.open && node.count) this.open(node); else if (node.open) this.move(this.cursor + 1);
    } else if (event.key === "ArrowLeft" && node) {
      if (node.open) this.close(node);
      else if (node.parent) this.move(this.rows.findIndex((row) => row.node === node.parent));
    } else if (event.key === "Enter" && node) {
      this.choose(node);
    } else {
      return;
    }
    event.preventDefault();
  }
}

function part(name, text) {
  const span = document.createElement("span");
  span.className = name;
  span.textContent = text;
  return span;
}

customElements.define("znode-tree", ZnodeTree);
