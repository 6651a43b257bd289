// The websocket: says which paths this page looks at, hears what happens to them, comes back when cut.

const RETRY_MS_MAX = 15000;

export class Live {
  // `shows(path)`: whether the page has read what is there already. What has happened between that and the
  // watch is told as a gap: look again.
  constructor(onEvent, onState, at, shows) {
    this.at = at;
    this.shows = shows;
    this.onEvent = onEvent;
    this.onState = onState;
    this.paths = new Set();
    this.retryMs = 500;
    this.opened = false;
    this.connect();
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}${this.at}`);
    this.socket.addEventListener("open", () => {
      this.retryMs = 500;
      this.onState("live");
      // What happened while the line was cut is not told: a gap, once each watch hangs.
      for (const path of this.paths) this.say("watch", path, this.opened || this.shows(path));
      this.opened = true;
    });
    this.socket.addEventListener("message", (message) => this.hear(JSON.parse(message.data).events));
    this.socket.addEventListener("close", (event) => {
      if (event.code === 4401) {
        this.onState("signed out");
        return;
      }
      this.onState("reconnecting");
      setTimeout(() => this.connect(), this.retryMs * (0.5 + Math.random()));
      this.retryMs = Math.min(this.retryMs * 2, RETRY_MS_MAX);
    });
  }

  // The next events come when these have been dealt with: a slow page is told less often, never too much.
  async hear(events) {
    const socket = this.socket;
    try {
      await Promise.all(events.map((event) => this.onEvent(event)));
    } finally {
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ do: "seen" }));
    }
  }

  say(action, path, gap = false) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ do: action, path, ...(gap && { gap }) }));
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
