// The editor: Ace with a mode per format. Knows nothing of znodes.
/* global ace */

import { isDark } from "./app.js";

const MODES = { json: "json", xml: "xml", yaml: "yaml", properties: "properties" };
const HEX_BYTES_A_LINE = 16;

const OFFSETS = {
  getWidth: (session, last) => Math.max(5, last.toString().length + 2) * 7,
  getText: (session, row) => (row * HEX_BYTES_A_LINE).toString(16).padStart(5, "0"),
};

export class Editor {
  constructor(element, base, readOnly, onChange) {
    this.readOnly = readOnly;
    this.saved = "";
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
    this.ace.textInput.getElement().setAttribute("aria-label", "Data of the znode");
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
  show(text, language, keep = false) {
    this.saved = text;
    this.ace.session.setMode(`ace/mode/${MODES[language] ?? "text"}`);
    this.ace.session.gutterRenderer = language === "hex" ? OFFSETS : null;
    this.point(null);
    if (!keep) {
      const at = this.ace.getCursorPosition();
      this.filling = true;
      this.ace.session.setValue(text);
      this.filling = false;
      this.ace.moveCursorToPosition(at);
    }
    this.ace.renderer.updateFull();
  }

  // Type a text over all there is: one step to undo.
  type(text) {
    const all = this.ace.session.doc;
    const last = all.getLength() - 1;
    this.ace.session.replace({ start: { row: 0, column: 0 }, end: { row: last, column: all.getLine(last).length } }, text);
  }

  // Mark what is wrong; null: nothing is.
  point(problem) {
    const mark = problem && { row: problem.line - 1, column: problem.column - 1, text: problem.text, type: "error" };
    this.ace.session.setAnnotations(mark ? [mark] : []);
  }

  goTo(problem) {
    this.ace.gotoLine(problem.line, problem.column - 1, true);
    this.ace.focus();
  }

  // Long lines are folded instead of running out of sight.
  set wraps(is) { this.ace.session.setUseWrapMode(is); }
  get wraps() { return this.ace.session.getUseWrapMode(); }

  set locked(is) { this.ace.setReadOnly(is || this.readOnly); }
  focus() { this.ace.focus(); }
  resize() { this.ace.resize(); }
}
