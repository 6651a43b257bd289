// The editor: Ace with a mode per format, and a view of what was changed. Knows nothing of znodes.
/* global ace */

import { isDark } from "./app.js";

const MODES = { json: "json", xml: "xml", yaml: "yaml", text: "text", hex: "text" };

export class Editor {
  constructor(element, base, readOnly, onChange) {
    this.element = element;
    this.readOnly = readOnly;
    this.saved = "";
    this.view = null;
    ace.config.set("basePath", base);
    ace.config.set("loadWorkerFromBlob", false);
    ace.config.set("useStrictCSP", true);
    this.ace = ace.edit(element, {
      useWorker: false,
      showPrintMargin: false,
      readOnly,
      tabSize: 2,
      useSoftTabs: true,
      fontSize: 13,
      newLineMode: "unix",
      highlightActiveLine: !readOnly,
    });
    // Escape leaves the editor, so the keyboard is not trapped in it.
    this.ace.commands.addCommand({ name: "leave", bindKey: { win: "Esc", mac: "Esc" }, exec: () => this.ace.blur() });
    this.ace.session.on("change", () => { if (!this.filling) onChange(); });
    this.dress();
    document.addEventListener("themechange", () => this.dress());
  }

  dress() {
    this.ace.setTheme(isDark() ? "ace/theme/github_dark" : "ace/theme/github");
  }

  get text() { return this.ace.getValue(); }
  get dirty() { return this.text !== this.saved; }

  // Show a text as the saved one. `keep`: what the person has typed stays, only the base changes.
  show(text, format, keep = false) {
    this.endDiff();
    this.saved = text;
    this.ace.session.setMode(`ace/mode/${MODES[format] ?? "text"}`);
    if (!keep) {
      this.filling = true;
      const at = this.ace.getCursorPosition();
      this.ace.session.setValue(text);
      this.ace.moveCursorToPosition(at);
      this.filling = false;
    }
  }

  // What was changed, inside the text; `base` is what it is compared with.
  startDiff(base = this.saved) {
    this.endDiff();
    const { createDiffView } = ace.require("ace/ext/diff");
    this.view = createDiffView({ editorB: this.ace, valueA: base, inline: "b" });
    this.view.onInput(); // it would wait for the next change
  }

  endDiff() {
    if (this.view) {
      this.view.detach();
      this.view = null;
    }
  }

  get comparing() { return this.view !== null; }
  focus() { this.ace.focus(); }
}
