// The dialog before a save: what changes, side by side; and the merge where somebody was faster.

import { conflicts, counted, merge, mergedText } from "./lines.js";
import { compared, mergeView } from "./sides.js";
import { button, el } from "./words.js";

const WHOLE = new Set(["hex", "base64"]);

export class Review {
  constructor(dialog) {
    this.dialog = dialog;
    this.title = dialog.querySelector("h2");
    this.said = dialog.querySelector(".said");
    this.body = dialog.querySelector(".body");
    this.foot = dialog.querySelector("footer");
    this.problem = dialog.querySelector(".problem");
    dialog.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && (event.key === "s" || event.key === "Enter")) {
        event.preventDefault();
        event.stopPropagation();
        this.dialog.querySelector("footer .primary:not(:disabled)")?.click();
      }
    });
  }

  get isOpen() { return this.dialog.open; }

  // `act` is asynchronous; what it throws is said here, and all stays as it is.
  action(label, act, values = {}) {
    const made = button(label, async () => {
      made.disabled = true;
      this.problem.hidden = true;
      try {
        await act();
      } catch (error) {
        this.fail(error.message);
      }
      made.disabled = false;
    }, values);
    return made;
  }

  fail(text) {
    this.problem.textContent = text;
    this.problem.hidden = false;
  }

  fill(title, said, body, buttons) {
    this.title.textContent = title;
    this.said.replaceChildren(...[said].flat());
    this.body.replaceChildren(body);
    this.foot.replaceChildren(...buttons);
    this.problem.hidden = true;
    if (!this.dialog.open) this.dialog.showModal();
    this.body.scrollTop = 0;
    (this.foot.querySelector(".primary:not(:disabled)") ?? this.foot.querySelector("button"))?.focus();
  }

  close() { if (this.dialog.open) this.dialog.close(); }

  // What would be saved. `save` null: only looked at.
  changes({ path, version, before, after, problem, save }) {
    const { gone, come } = counted(before, after);
    const lines = (count) => `${count.toLocaleString("en")} ${count === 1 ? "line" : "lines"}`;
    const said = [`${lines(come)} added, ${gone.toLocaleString("en")} removed.`];
    if (problem) said.push(" ", el("span", { className: "bad" }, `Line ${problem.line}, column ${problem.column}: ${problem.text} It can be saved as it is.`));
    const back = button("Back to editing", () => this.close());
    const buttons = save ? [back, this.action(`Save as version ${version + 1}`, save, { className: "primary" })] : [back];
    this.fill(`${path}, version ${version} and yours`, said, compared(before, after, [`Version ${version}`, "Yours"]), buttons);
  }

  // Somebody was faster. `take(text)`: their version is the base now and the editor has this text;
  // `save()` then saves it.
  meet({ path, base, mine, theirs, format, take, save }) {
    const version = `version ${theirs.version}`;
    const whole = WHOLE.has(format) || theirs.format !== format || theirs.too_large;
    const choose = [
      button("Later", () => this.close()),
      this.action("Take theirs", async () => { take(theirs.text); this.close(); }),
      this.action("Keep mine whole", async () => { take(mine); this.close(); }),
    ];
    if (whole) {
      const reason = theirs.format === format ? "Bytes are not merged line by line" : `Theirs is ${theirs.format} by now`;
      this.fill(`${path}: somebody saved ${version} first`, `${reason}: choose one of them. Nothing of yours is lost.`,
        theirs.too_large ? el("p", {}, "Theirs is too large to be shown.") : compared(mine, theirs.text, ["Mine", `Theirs, ${version}`]), choose);
      return;
    }
    const parts = merge(base, mine, theirs.text);
    const open = () => conflicts(parts).filter((part) => part.lines === null).length;
    const edit = this.action("Edit the result", async () => { take(mergedText(parts)); this.close(); });
    const done = this.action("Save the result", async () => { take(mergedText(parts)); await save(); }, { className: "primary" });
    const settle = () => {
      const left = open();
      edit.disabled = done.disabled = left > 0;
      const all = conflicts(parts).length;
      this.said.textContent = all === 0
        ? "Your changes and theirs do not touch each other: they are merged. Look, then save."
        : left ? `${left} of ${all} places that both have changed wait for your choice.` : "All is decided. Look, then save.";
    };
    this.fill(`${path}: somebody saved ${version} first`, "", mergeView(parts, settle), [...choose, edit, done]);
    settle();
    if (!done.disabled) done.focus();
  }
}
