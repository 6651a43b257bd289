// What was typed and not saved, kept for this tab: it outlives a reload, a sign-out, another page.

const CHARACTERS_MAX = 1_000_000; // of one draft; a browser keeps some five million in all

export class Drafts {
  constructor(prefix) {
    this.prefix = `draft ${prefix} `;
  }

  // {text, base, format, version, czxid}
  put(path, draft) {
    if (draft.text.length + draft.base.length > CHARACTERS_MAX) return;
    try {
      sessionStorage.setItem(this.prefix + path, JSON.stringify(draft));
    } catch { /* it is full: the page itself still has the text */ }
  }

  get(path) {
    try {
      return JSON.parse(sessionStorage.getItem(this.prefix + path));
    } catch {
      return null;
    }
  }

  drop(path) {
    try {
      sessionStorage.removeItem(this.prefix + path);
    } catch { /* there is none */ }
  }
}
