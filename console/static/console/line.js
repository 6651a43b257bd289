// A websocket that comes back when it is cut; what the pages' own protocols share.
//
// `on.open(again)`: it is there; `again` where it was before. `on.message(what)`: parsed.
// `on.state(words)`: "live", "reconnecting" or "signed out", after which it stays closed.

const RETRY_MS_LEAST = 500;
const RETRY_MS_MAX = 15000;
const SIGNED_OUT = 4401;

export class Line {
  constructor(at, on) {
    this.at = at;
    this.on = on;
    this.retryMs = RETRY_MS_LEAST;
    this.wasOpen = false;
    this.connect();
  }

  connect() {
    this.isOver = false;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}${this.at}`);
    this.socket = socket;
    socket.addEventListener("open", () => {
      this.retryMs = RETRY_MS_LEAST;
      this.on.state("live");
      this.on.open(this.wasOpen);
      this.wasOpen = true;
    });
    socket.addEventListener("message", (message) => this.on.message(JSON.parse(message.data)));
    socket.addEventListener("close", (event) => {
      if (this.isOver || socket !== this.socket) return;
      if (event.code === SIGNED_OUT) {
        this.on.state("signed out");
        return;
      }
      this.on.state("reconnecting");
      setTimeout(() => { if (!this.isOver && socket === this.socket) this.connect(); }, this.retryMs * (0.5 + Math.random()));
      this.retryMs = Math.min(this.retryMs * 2, RETRY_MS_MAX);
    });
  }

  say(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  // The next comes when this is drawn: a slow page is told less often, never too much.
  seen() {
    if (document.hidden) this.say({ do: "seen" }); // nothing is drawn then
    else requestAnimationFrame(() => this.say({ do: "seen" }));
  }

  close() {
    this.isOver = true;
    this.socket.close();
  }
}
