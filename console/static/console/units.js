// How figures and times are written: numbers with their unit, times in the viewer's zone.

const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const SIZES = [[1 << 30, "GiB"], [1 << 20, "MiB"], [1 << 10, "KiB"]];
const MANY = [[1e9, "G"], [1e6, "M"], [1e4, "k"]];

export function isWholeUnit(unit) {
  return unit === "count" || unit === "bytes";
}

// `value` null: not known. `isWhole`: with the unit, for reading; else as an axis has it.
export function inUnit(value, unit, isWhole = false) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (unit === "bytes" || unit === "bytes_per_s") return inBytes(value) + (isWhole && unit === "bytes_per_s" ? "/s" : "");
  if (unit === "ms") {
    if (value >= 10000) return `${short.format(value / 1000)} s`;
    return isWhole ? `${short.format(value)} ms` : short.format(value);
  }
  const text = isWhole ? plain.format(value) : inMany(value);
  if (!isWhole) return text;
  return { per_s: `${text}/s`, ms_per_s: `${text} ms/s` }[unit] || text;
}

function inMany(value) {
  for (const [least, letter] of MANY) {
    if (Math.abs(value) >= least) return `${short.format(value / (letter === "k" ? 1000 : least))}${letter}`;
  }
  return short.format(value);
}

function inBytes(value) {
  for (const [least, letters] of SIZES) if (value >= least) return `${short.format(value / least)} ${letters}`;
  return `${short.format(value)} B`;
}

export function clock(ms, hasSeconds = false) {
  return new Date(ms).toLocaleTimeString("en-GB", hasSeconds
    ? { hour: "2-digit", minute: "2-digit", second: "2-digit" } : { hour: "2-digit", minute: "2-digit" });
}

export function day(ms) {
  const at = new Date(ms);
  const date = at.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  return at.getHours() || at.getMinutes() ? `${date} ${clock(ms)}` : date;
}

export function moment(ms) {
  const at = new Date(ms);
  return `${at.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${clock(ms, true)}`;
}
