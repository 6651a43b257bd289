// The websocket of znodes: says which paths this page looks at, hears what happens to them.

import { Line } from "./line.js";

export class Live {
  // `shows(path)`: whether the page has read what is there already. What has happened between that and the
  // watch is told as a gap: look again.
  constructor(onEvent, onState, at, shows) {
    this.shows = shows;
    this.onEvent = onEvent;
    this.paths = new Set();
    this.line = new Line(at, {
      // What happened while the line was cut is not told: a gap, once each watch hangs.
      open: (again) => { for (const path of this.paths) this.say("watch", path, again || this.shows(path)); },
      message: ({ events }) => this.hear(events),
      state: onState,
    });
  }

  connect() { this.line.connect(); }

  async hear(events) {
    try {
      await Promise.all(events.map((event) => this.onEvent(event)));
    } finally {
      this.line.seen();
    }
  }

  say(action, path, gap = false) {
    this.line.say({ do: action, path, ...(gap && { gap }) });
  }

  watch(path) {
    if (!this.paths.has(path)) {
      this.paths.add(path);
      this.say("watch", path, this.shows(path));
    }
  }

  // These and no others.
  only(paths) {
    for (const path of [...this.paths]) if (!paths.has(path)) this.unwatch(path);
    for (const path of paths) this.watch(path);
  }

  unwatch(path) {
    if (this.paths.delete(path)) this.say("unwatch", path);
  }
}
