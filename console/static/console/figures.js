// The websocket of figures: says whose this page shows, hears each second, comes back when cut.

const RETRY_MS_MAX = 15000;

export class FigureStream {
  constructor(onFigures, onState) {
    this.onFigures = onFigures;
    this.onState = onState;
    this.subjects = [];
    this.retryMs = 500;
    this.isOver = false;
    this.wasOpen = false;
    this.connect();
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/live/figures`);
    this.socket = socket;
    socket.addEventListener("open", () => {
      this.retryMs = 500;
      this.onState("live");
      this.tell();
      if (this.wasOpen) this.onFigures({}, 1); // what happened while the line was cut was not told
      this.wasOpen = true;
    });
    socket.addEventListener("message", (message) => {
      const { figures, missed } = JSON.parse(message.data);
      try {
        this.onFigures(figures, missed);
      } finally {
        // The next ones come when these are drawn: a slow page is told less often.
        requestAnimationFrame(() => this.say({ do: "seen" }));
        if (document.hidden) this.say({ do: "seen" }); // nothing is drawn then
      }
    });
    socket.addEventListener("close", (event) => {
      if (this.isOver) return;
      if (event.code === 4401) {
        this.onState("signed out");
        return;
      }
      this.onState("reconnecting");
      setTimeout(() => { if (!this.isOver) this.connect(); }, this.retryMs * (0.5 + Math.random()));
      this.retryMs = Math.min(this.retryMs * 2, RETRY_MS_MAX);
    });
  }

  follow(subjects) {
    this.subjects = subjects;
    this.tell();
  }

  tell() {
    if (this.subjects.length) this.say({ do: "follow", subjects: this.subjects });
  }

  say(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  close() {
    this.isOver = true;
    this.socket.close();
  }
}
