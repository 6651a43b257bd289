// A tree of which only some is known, as numbered rows. Pure: no page in here. A closed child takes one
// row whether it is known or not, so a parent of 100,000 costs what is open and what was fetched of it.

export function joined(parent, name) {
  return parent === "/" ? `/${name}` : `${parent}/${name}`;
}

export class Node {
  constructor(parent, name, index) {
    this.parent = parent;
    this.name = name;
    this.path = parent ? joined(parent.path, name) : "/";
    this.index = index; // among its siblings
    this.depth = parent ? parent.depth + 1 : 0;
    this.count = 0; // of children
    this.ephemeral = false;
    this.open = false;
    this.kids = new Map(); // the known ones, by index
    this.byName = new Map();
    this.asked = new Set(); // pages that are known as they are
    this.opened = []; // the open ones of the known, by index
    this.size = 1; // rows that it takes
    this.freshAt = -Infinity; // when it was made or changed before our eyes
    this.delta = 0;
    this.deltaAt = -Infinity;
  }
}

// How many rows each open node takes; after anything was opened, closed or moved.
export function measure(node) {
  node.opened = [];
  let more = 0;
  if (node.open) {
    for (const kid of node.kids.values()) if (kid.open) node.opened.push(kid);
    node.opened.sort((a, b) => a.index - b.index);
    for (const kid of node.opened) more += measure(kid) - 1;
  }
  node.size = node.open ? 1 + node.count + more : 1;
  return node.size;
}

// What stands on a row below `node`, counted from its own: {node or null, parent, index}.
export function rowAt(root, row) {
  let node = root;
  let left = row;
  descend: while (left > 0) {
    left -= 1;
    let at = 0;
    for (const kid of node.opened) {
      const closed = kid.index - at;
      if (left < closed) break;
      left -= closed;
      at = kid.index;
      if (left < kid.size) {
        node = kid;
        continue descend;
      }
      left -= kid.size;
      at += 1;
    }
    const index = at + left;
    return { node: node.kids.get(index) ?? null, parent: node, index };
  }
  return { node, parent: node.parent, index: node.index };
}

// The row on which a known node stands; -1 where something above it is closed.
export function rowOf(node) {
  let row = 0;
  for (let one = node; one.parent; one = one.parent) {
    if (!one.parent.open) return -1;
    row += 1 + one.index;
    for (const kid of one.parent.opened) {
      if (kid.index >= one.index) break;
      row += kid.size - 1;
    }
  }
  return row;
}

export function find(root, path) {
  let node = root;
  if (path === "/") return node;
  for (const name of path.slice(1).split("/")) {
    node = node.byName.get(name);
    if (!node) return null;
  }
  return node;
}

// Put pages of children where they belong: [{total, offset, rows: [[name, count, ephemeral]]}]. Who was known
// stays the same object. `now`: mark what is new among what was known. Answers with the open ones that have
// lost their place: gone, or moved to where nobody has looked.
export function place(node, pages, pageRows, now = null) {
  const before = node.count;
  for (const got of pages) {
    const known = got.rows.map(([name]) => node.byName.has(name));
    const [head, tail] = [known.indexOf(true), known.lastIndexOf(true)];
    const isEnd = got.offset + got.rows.length >= got.total;
    for (let index = got.offset; index < got.offset + pageRows; index++) node.kids.delete(index);
    got.rows.forEach(([name, count, ephemeral], at) => {
      const index = got.offset + at;
      let kid = node.byName.get(name);
      if (!kid) {
        kid = new Node(node, name, index);
        node.byName.set(name, kid);
        const isAmong = head >= 0 && (at > head || got.offset === 0) && (at < tail || isEnd);
        if (now !== null && isAmong) kid.freshAt = now;
      } else if (node.kids.get(kid.index) === kid) {
        node.kids.delete(kid.index);
      }
      kid.index = index;
      kid.count = count;
      kid.ephemeral = Boolean(ephemeral);
      node.kids.set(index, kid);
    });
    node.count = got.total;
    node.asked.add(Math.floor(got.offset / pageRows));
  }
  if (now !== null && node.count !== before) {
    node.delta = (now - node.deltaAt < SHOWN_MS ? node.delta : 0) + node.count - before;
    node.deltaAt = now;
  }
  const lost = [];
  for (const kid of [...node.byName.values()]) {
    if (kid.index < node.count && node.kids.get(kid.index) === kid) continue;
    if (node.kids.get(kid.index) === kid) node.kids.delete(kid.index);
    node.byName.delete(kid.name);
    if (kid.open) lost.push(kid);
  }
  return lost;
}

export const SHOWN_MS = 3000; // so long a change is marked
