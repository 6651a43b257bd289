// Lines compared and merged. Pure: texts in, lists out; no page, no znodes.

const EDITS_MAX = 2000; // beyond it two texts have so little in common that the middle counts as replaced

export const linesOf = (text) => text.split("\n");

// What turns `before` into `after`: [{from, to, at, until}], lines from..to of the one became at..until
// of the other. In order, apart from each other, as few lines as there can be.
export function edits(before, after) {
  let start = 0;
  let end = before.length;
  let last = after.length;
  while (start < end && start < last && before[start] === after[start]) start++;
  while (end > start && last > start && before[end - 1] === after[last - 1]) { end--; last--; }
  if (start === end && start === last) return [];
  const path = shortest(before.slice(start, end), after.slice(start, last));
  if (path === null) return [{ from: start, to: end, at: start, until: last }];
  return gathered(path, start);
}

// Myers' greedy walk: a pair of lists, of lines that go and lines that come; null where it is too long.
function shortest(a, b) {
  const most = Math.min(a.length + b.length, EDITS_MAX);
  const reach = new Int32Array(2 * most + 3);
  const middle = most + 1;
  const trace = [];
  for (let d = 0; d <= most; d++) {
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && reach[middle + k - 1] < reach[middle + k + 1]);
      let x = down ? reach[middle + k + 1] : reach[middle + k - 1] + 1;
      let y = x - k;
      while (x < a.length && y < b.length && a[x] === b[y]) { x++; y++; }
      reach[middle + k] = x;
      if (x >= a.length && y >= b.length) return walkBack(a.length, b.length, trace, d);
    }
    trace.push(reach.slice(middle - d, middle + d + 1));
  }
  return null;
}

function walkBack(x, y, trace, d) {
  const gone = [];
  const come = [];
  for (; d > 0; d--) {
    const reach = trace[d - 1];
    const at = (k) => (Math.abs(k) <= d - 1 ? reach[k + d - 1] : -1);
    const k = x - y;
    const down = k === -d || (k !== d && at(k - 1) < at(k + 1));
    const before = down ? k + 1 : k - 1;
    const fromX = at(before);
    if (down) come.push(fromX - before); else gone.push(fromX);
    x = fromX;
    y = fromX - before;
  }
  return [gone.reverse(), come.reverse()];
}

// Single lines that go and come, as stretches. `shift`: how many lines were cut off in front.
function gathered([gone, come], shift) {
  const found = [];
  let x = 0;
  let y = 0;
  let i = 0;
  let j = 0;
  while (i < gone.length || j < come.length) {
    // Equal lines up to the next change: as many on both sides.
    const step = Math.min(i < gone.length ? gone[i] - x : Infinity, j < come.length ? come[j] - y : Infinity);
    x += step;
    y += step;
    const one = { from: x + shift, to: 0, at: y + shift, until: 0 };
    let moved = true;
    while (moved) {
      moved = false;
      while (i < gone.length && gone[i] === x) { x++; i++; moved = true; }
      while (j < come.length && come[j] === y) { y++; j++; moved = true; }
    }
    one.to = x + shift;
    one.until = y + shift;
    found.push(one);
  }
  return found;
}

// Three texts as parts in their order: {kind, base, mine, theirs, lines}. `kind`: "same", "mine" or
// "theirs" (one side has changed it), "both" (both in the same way), "conflict" (lines is null).
// Changes that do not overlap are merged; two insertions at one place are a conflict, as nothing
// says which comes first.
export function merge(base, mine, theirs) {
  const [o, a, b] = [linesOf(base), linesOf(mine), linesOf(theirs)];
  const left = edits(o, a);
  const right = edits(o, b);
  const parts = [];
  let at = 0; // in base
  let shiftA = 0; // how much further mine is
  let shiftB = 0;
  let i = 0;
  let j = 0;
  const same = (to) => {
    if (to > at) parts.push(part("same", o.slice(at, to), o.slice(at, to), o.slice(at, to)));
    at = to;
  };
  while (i < left.length || j < right.length) {
    const [x, y] = [left[i], right[j]];
    if (!y || (x && x.to <= y.from && apart(x, y))) {
      same(x.from);
      parts.push(part("mine", o.slice(x.from, x.to), a.slice(x.at, x.until), o.slice(x.from, x.to)));
      at = x.to;
      shiftA = x.until - x.to;
      i++;
      continue;
    }
    if (!x || (y.to <= x.from && apart(y, x))) {
      same(y.from);
      parts.push(part("theirs", o.slice(y.from, y.to), o.slice(y.from, y.to), b.slice(y.at, y.until)));
      at = y.to;
      shiftB = y.until - y.to;
      j++;
      continue;
    }
    // They meet: all that hangs together, on either side.
    const from = Math.min(x.from, y.from);
    let to = Math.max(x.to, y.to);
    const [beforeA, beforeB] = [shiftA, shiftB];
    shiftA = x.until - x.to;
    shiftB = y.until - y.to;
    i++;
    j++;
    for (let more = true; more;) {
      more = false;
      if (i < left.length && meets(left[i], from, to)) {
        to = Math.max(to, left[i].to);
        shiftA = left[i].until - left[i].to;
        i++;
        more = true;
      }
      if (j < right.length && meets(right[j], from, to)) {
        to = Math.max(to, right[j].to);
        shiftB = right[j].until - right[j].to;
        j++;
        more = true;
      }
    }
    same(from);
    const [ours, others] = [a.slice(from + beforeA, to + shiftA), b.slice(from + beforeB, to + shiftB)];
    parts.push(part(equal(ours, others) ? "both" : "conflict", o.slice(from, to), ours, others));
    at = to;
  }
  same(o.length);
  return parts;
}

// Whether a change ends before the next one begins. Where they touch, both must replace lines.
const apart = (first, second) => first.to < second.from || (first.from < first.to && second.from < second.to);
const meets = (one, from, to) => one.from < to || (one.from === to && (one.from === one.to || from === to));
const equal = (a, b) => a.length === b.length && a.every((line, index) => line === b[index]);

function part(kind, base, mine, theirs) {
  const lines = { same: base, mine, theirs, both: mine, conflict: null }[kind];
  return { kind, base, mine, theirs, lines };
}

export const conflicts = (parts) => parts.filter((one) => one.kind === "conflict");

// The merged text, once each conflict has its lines.
export const mergedText = (parts) => parts.flatMap((one) => one.lines).join("\n");

// Two texts as rows side by side: [left number, left, right number, right, kind], with "" same, "changed",
// "gone" (right missing) and "new" (left missing). Unchanged stretches beyond `context` lines become one
// row [skipped, null, 0, null, "skipped"].
export function sideBySide(before, after, context = 3) {
  const [a, b] = [linesOf(before), linesOf(after)];
  const rows = [];
  const all = edits(a, b);
  const quiet = (from, to, shift, isFirst, isLast) => {
    const head = isFirst ? from : Math.min(to, from + context);
    const tail = isLast ? to : Math.max(head, to - context);
    const push = (x) => rows.push([x + 1, a[x], x + shift + 1, b[x + shift], ""]);
    for (let x = from; x < head; x++) push(x);
    if (tail - head > 1) rows.push([tail - head, null, 0, null, "skipped"]);
    else for (let x = head; x < tail; x++) push(x);
    for (let x = Math.max(head, tail); x < to; x++) push(x);
  };
  let at = 0;
  let shift = 0;
  all.forEach((one, index) => {
    quiet(at, one.from, shift, index === 0, false);
    const count = Math.max(one.to - one.from, one.until - one.at);
    for (let n = 0; n < count; n++) {
      const [x, y] = [one.from + n, one.at + n];
      const [hasLeft, hasRight] = [x < one.to, y < one.until];
      rows.push([
        hasLeft ? x + 1 : 0, hasLeft ? a[x] : null, hasRight ? y + 1 : 0, hasRight ? b[y] : null,
        hasLeft && hasRight ? "changed" : hasLeft ? "gone" : "new",
      ]);
    }
    at = one.to;
    shift = one.until - one.to;
  });
  quiet(at, a.length, shift, all.length === 0, true);
  return rows;
}

export function counted(before, after) {
  const all = edits(linesOf(before), linesOf(after));
  return {
    gone: all.reduce((sum, one) => sum + one.to - one.from, 0),
    come: all.reduce((sum, one) => sum + one.until - one.at, 0),
  };
}
