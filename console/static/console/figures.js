// The websocket of figures: says whose this page shows, hears each second.

import { Line } from "./line.js";

export class FigureStream {
  constructor(onFigures, onState) {
    this.onFigures = onFigures;
    this.subjects = [];
    this.line = new Line("/live/figures", {
      open: (again) => {
        this.tell();
        if (again) this.onFigures({}, 1); // what happened while the line was cut was not told
      },
      message: (told) => this.hear(told),
      state: onState,
    });
  }

  hear({ figures, missed }) {
    try {
      this.onFigures(figures, missed);
    } finally {
      this.line.seen();
    }
  }

  follow(subjects) {
    this.subjects = subjects;
    this.tell();
  }

  tell() {
    if (this.subjects.length) this.line.say({ do: "follow", subjects: this.subjects });
  }

  close() {
    this.line.close();
  }
}
