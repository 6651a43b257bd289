// Charts of figures over time. The only module that knows the library (Chart.js, as a plain script):
// another one would be put behind the same two classes.
//
// A `ChartGroup` is a page's charts: they share the line under the cursor and the chosen stretch. A
// `TimeChart` is one card: lines, legend with the values under the cursor, and the same as a table.

import { clock, day, inUnit, isWholeUnit, moment } from "./units.js";

const DASHES = [[], [7, 3], [2, 2], [9, 3, 2, 3], [14, 4], [4, 4, 1, 4], [1, 3], [6, 2, 2, 2, 2, 2]];
const LINES_MAX = 12;
const AXIS_WIDTH = 58; // the same for all, so that times stand above one another
const STEPS_S = [5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 432000, 864000, 2592000];
const LABEL_WIDTH = 74;
const DRAG_MIN_PX = 6;

export class ChartGroup {
  constructor({ onChoose, onMark }) {
    this.charts = [];
    this.onChoose = onChoose;
    this.onMark = onMark;
    this.place = null; // the bin under the cursor
    this.chosen = null; // [first, last] bins
    this.seen = new IntersectionObserver((entries) => {
      for (const entry of entries) entry.target.chart.setVisible(entry.isIntersecting);
    }, { rootMargin: "200px" });
    document.addEventListener("themechange", () => this.charts.forEach((chart) => chart.restyle()));
  }

  add(chart) {
    this.charts.push(chart);
    this.seen.observe(chart.card);
  }

  show(data) {
    this.data = data;
    this.place = null;
    this.chosen = null;
    for (const chart of this.charts) chart.show(data);
  }

  // The same times, a little later: nothing that somebody points at moves away.
  refresh(gone) {
    if (this.place !== null) this.place = Math.max(0, this.place - gone);
    if (this.chosen) this.chosen = this.chosen.map((place) => Math.max(0, place - gone));
    for (const chart of this.charts) chart.show(this.data);
    this.point(this.place);
    this.mark(this.chosen);
  }

  point(place) {
    this.place = place;
    for (const chart of this.charts) chart.point(place);
  }

  mark(chosen) {
    if (!chosen && !this.chosen) return;
    this.chosen = chosen;
    for (const chart of this.charts) chart.mark(chosen);
    this.onMark?.();
  }

  choose(first, last) {
    this.mark(null);
    const [a, b] = first <= last ? [first, last] : [last, first];
    const { at, step } = this.data;
    this.onChoose(at[a] - step + 1, at[b] + 1);
  }
}

export class TimeChart {
  constructor(card, spec, group) {
    this.card = card;
    this.spec = spec;
    this.group = group;
    this.plot = card.querySelector(".plot");
    this.canvas = card.querySelector("canvas");
    this.cross = card.querySelector(".cross");
    this.band = card.querySelector(".chosen");
    this.nothing = card.querySelector(".nothing");
    this.said = card.querySelector(".cursor");
    this.legend = card.querySelector(".legend");
    this.table = card.querySelector(".figures-table");
    this.hidden = new Set();
    this.lines = [];
    this.isVisible = false;
    this.isStale = false;
    card.chart = this;
    this.listen();
    group.add(this);
  }

  // What is drawn

  show(data) {
    this.data = data;
    this.lines = this.linesOf(data);
    const isBlank = !this.lines.some((line) => line.values.some((value) => value !== null && (value !== 0 || !this.spec.blank)));
    this.nothing.hidden = !isBlank;
    this.nothing.textContent = data.at.length ? this.spec.blank || "Nothing is known of this time." : "";
    this.legends();
    this.draw();
  }

  linesOf(data) {
    const { columns, prefix } = this.spec;
    const values = data.values;
    const other = data.other?.values || {};
    let named = columns;
    if (prefix) {
      const names = new Set([...Object.keys(values), ...Object.keys(other)]);
      named = [...names].filter((name) => name.startsWith(prefix)).sort().map((name) => [name, name.slice(prefix.length)]);
    }
    return named.slice(0, LINES_MAX).map(([name, label], at) => ({
      name, label, at, values: values[name] || [], other: other[name] || null,
    })).filter((line) => line.values.length || line.other);
  }

  draw() {
    if (!this.isVisible || !window.Chart) {
      this.isStale = true;
      return;
    }
    this.isStale = false;
    const made = this.datasets();
    if (!this.chart) {
      this.chart = new window.Chart(this.canvas, { type: "line", data: { datasets: made }, options: this.options() });
    } else {
      this.chart.data.datasets = made;
      this.bounds(this.chart.options);
      this.chart.update("none");
    }
    this.place();
  }

  datasets() {
    const { at, other, shift } = this.data;
    const made = [];
    for (const line of this.lines) {
      const color = this.color(line.at);
      const hidden = this.hidden.has(line.name);
      if (line.other) {
        made.push({
          ...this.style(color), data: points(other.at, line.other, shift || 0), hidden,
          borderWidth: 1.2, borderDash: [1, 3], order: 2,
        });
      }
      made.push({
        ...this.style(color), data: points(at, line.values, 0), hidden, borderDash: DASHES[line.at % DASHES.length], order: 1,
      });
    }
    return made;
  }

  style(color) {
    return {
      borderColor: color, backgroundColor: color, borderWidth: 1.8, pointHitRadius: 0, pointHoverRadius: 0, tension: 0,
      // A value between two gaps is a line of no length: it gets a point.
      pointRadius: ({ dataset, dataIndex }) => (isAlone(dataset.data, dataIndex) ? 2 : 0),
    };
  }

  options() {
    const made = {
      animation: false, parsing: false, normalized: true, responsive: true, maintainAspectRatio: false, events: [],
      spanGaps: false, layout: { padding: { top: 6, right: 10 } },
      plugins: { legend: { display: false }, tooltip: { enabled: false }, decimation: { enabled: false } },
      scales: {
        x: {
          type: "linear",
          afterBuildTicks: (scale) => { scale.ticks = timesOf(scale.min, scale.max, scale.chart.width - AXIS_WIDTH); },
          ticks: { maxRotation: 0, autoSkip: false, callback: (value) => this.timeLabel(value) },
          grid: {}, border: { display: false },
        },
        y: {
          bounds: this.spec.unit.startsWith("bytes") ? "data" : "ticks", // the library rounds by tens
          beginAtZero: true, suggestedMax: isWholeUnit(this.spec.unit) ? 4 : 1, afterFit: (scale) => { scale.width = AXIS_WIDTH; },
          afterDataLimits: (scale) => { if (this.spec.unit.startsWith("bytes")) scale.max = Math.max(1, Math.ceil(scale.max / sizeStep(scale.max)) * sizeStep(scale.max)); },
          afterBuildTicks: (scale) => { if (this.spec.unit.startsWith("bytes")) scale.ticks = sizesOf(scale.max); },
          ticks: { maxTicksLimit: 5, callback: (value) => inUnit(value, this.spec.unit) },
          grid: {}, border: { display: false },
        },
      },
    };
    if (isWholeUnit(this.spec.unit)) made.scales.y.ticks.precision = 0;
    this.bounds(made);
    return made;
  }

  // Times and colours, which change while the chart stands.
  bounds(options) {
    const { x, y } = options.scales;
    x.min = this.data.since * 1000;
    x.max = Math.max(this.data.until, this.data.since + 1) * 1000;
    for (const scale of [x, y]) {
      scale.ticks.color = css("--soft");
      scale.ticks.font = { size: 11, family: getComputedStyle(document.body).fontFamily };
      scale.grid.color = css("--line");
      scale.grid.tickLength = 4;
    }
    x.grid.drawOnChartArea = false;
  }

  timeLabel(value) {
    const span = this.data.until - this.data.since;
    return span > 86400 * 1.5 ? day(value) : clock(value, span <= 900);
  }

  color(at) {
    return css(`--chart-${(at % 8) + 1}`);
  }

  restyle() {
    if (!this.data) return;
    this.legends();
    this.draw();
  }

  setVisible(isVisible) {
    this.isVisible = isVisible;
    if (isVisible && this.isStale && this.data) this.draw();
  }

  // Legend: what the lines are, and their values under the cursor; else the newest that is known

  legends() {
    const names = this.lines.map((line) => line.name).join();
    if (names !== this.legendOf || this.themeOf !== css("--chart-1")) {
      this.legendOf = names;
      this.themeOf = css("--chart-1");
      this.legend.replaceChildren(...this.lines.map((line) => this.entry(line)));
    }
    this.values();
  }

  entry(line) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", String(!this.hidden.has(line.name)));
    button.title = `Show or hide: ${line.label}`;
    const label = document.createElement("span");
    label.textContent = line.label;
    const value = document.createElement("b");
    button.append(swatch(this.color(line.at), DASHES[line.at % DASHES.length]), label, value);
    button.addEventListener("click", () => {
      if (!this.hidden.delete(line.name)) this.hidden.add(line.name);
      button.setAttribute("aria-pressed", String(!this.hidden.has(line.name)));
      this.draw();
    });
    item.append(button);
    return item;
  }

  values() {
    const entries = this.legend.querySelectorAll("b");
    this.lines.forEach((line, at) => {
      if (!entries[at]) return;
      const own = this.valueOf(line.values);
      const other = line.other ? this.valueOf(line.other) : undefined;
      entries[at].textContent = other === undefined ? inUnit(own, this.spec.unit, true)
        : `${inUnit(own, this.spec.unit, true)} · ${inUnit(other, this.spec.unit, true)}`;
    });
    const place = this.group.place;
    this.said.textContent = place === null || !this.data.at[place] ? "\u00a0" : moment(this.data.at[place] * 1000);
  }

  valueOf(values) {
    const place = this.group.place;
    if (place !== null) return values[place] ?? null;
    for (let at = values.length - 1; at >= 0; at -= 1) if (values[at] !== null && values[at] !== undefined) return values[at];
    return null;
  }

  // The line under the cursor and the chosen stretch: laid over the canvas, which is not drawn anew

  point() {
    if (!this.data) return;
    this.values();
    this.place();
  }

  mark() {
    this.place();
  }

  place() {
    const { place, chosen } = this.group;
    const area = this.chart?.chartArea;
    this.cross.hidden = place === null || !area;
    if (!this.cross.hidden) this.over(this.cross, this.xOf(place), 1, area);
    this.band.hidden = !chosen || !area;
    if (!this.band.hidden) {
      const [a, b] = [Math.min(...chosen), Math.max(...chosen)];
      const left = this.xOf(a);
      this.over(this.band, left, Math.max(2, this.xOf(b) - left), area);
    }
  }

  over(element, left, width, area) {
    element.style.transform = `translateX(${left.toFixed(1)}px)`;
    element.style.width = `${width.toFixed(1)}px`;
    element.style.top = `${area.top}px`;
    element.style.height = `${area.bottom - area.top}px`;
  }

  xOf(place) {
    const { chartArea, scales } = this.chart;
    const x = scales.x.getPixelForValue(this.data.at[place] * 1000);
    return Math.min(chartArea.right, Math.max(chartArea.left, x));
  }

  placeAt(clientX) {
    const { at } = this.data || { at: [] };
    if (!this.chart || !at.length) return null;
    const x = clientX - this.canvas.getBoundingClientRect().left;
    const wanted = this.chart.scales.x.getValueForPixel(x) / 1000;
    let low = 0;
    let high = at.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (at[middle] < wanted) low = middle + 1;
      else high = middle;
    }
    return low > 0 && wanted - at[low - 1] < at[low] - wanted ? low - 1 : low;
  }

  // Pointer and keys

  listen() {
    const { plot, group } = this;
    let from = null;
    let fromX = 0;
    plot.addEventListener("pointermove", (event) => {
      const place = this.placeAt(event.clientX);
      if (place === null) return;
      group.point(place);
      if (from !== null && Math.abs(event.clientX - fromX) >= DRAG_MIN_PX) group.mark([from, place]);
    });
    plot.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || event.pointerType === "touch") return;
      from = this.placeAt(event.clientX);
      fromX = event.clientX;
      if (from !== null) plot.setPointerCapture(event.pointerId);
    });
    plot.addEventListener("pointerup", () => {
      const chosen = group.chosen;
      if (from !== null && chosen && chosen[0] !== chosen[1]) group.choose(...chosen);
      from = null;
    });
    plot.addEventListener("pointercancel", () => { from = null; group.mark(null); });
    plot.addEventListener("pointerleave", () => { if (from === null) group.point(null); });
    plot.addEventListener("keydown", (event) => this.onKey(event));
    this.card.querySelector("[data-table]").addEventListener("click", (event) => this.toggleTable(event.currentTarget));
  }

  onKey(event) {
    const { group } = this;
    const last = (this.data?.at.length || 0) - 1;
    if (last < 0) return;
    const now = group.place ?? last;
    const moves = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last, PageUp: now - 10, PageDown: now + 10 };
    if (event.key in moves) {
      const place = Math.min(last, Math.max(0, moves[event.key]));
      group.mark(event.shiftKey ? [group.chosen?.[0] ?? now, place] : null);
      group.point(place);
      say(`${moment(this.data.at[place] * 1000)}: ${this.lines.map((line) => `${line.label} ${inUnit(line.values[place] ?? null, this.spec.unit, true)}`).join(", ")}`);
    } else if (event.key === "Enter" && group.chosen) {
      group.choose(...group.chosen);
    } else if (event.key === "Escape") {
      group.mark(null);
      group.point(null);
    } else {
      return;
    }
    event.preventDefault();
  }

  // The same as a table

  toggleTable(button) {
    const isOpen = this.table.hidden;
    button.setAttribute("aria-expanded", String(isOpen));
    this.table.hidden = !isOpen;
    this.table.replaceChildren(...(isOpen && this.data ? [this.asTable()] : []));
  }

  asTable() {
    const table = document.createElement("table");
    const caption = table.createCaption();
    caption.textContent = `${this.spec.title}, newest first; a dash: not known`;
    const head = table.createTHead().insertRow();
    for (const words of ["Until", ...this.lines.map((line) => line.label)]) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = words;
      head.append(cell);
    }
    const body = table.createTBody();
    for (let place = this.data.at.length - 1; place >= 0; place -= 1) {
      const row = body.insertRow();
      const time = document.createElement("th");
      time.scope = "row";
      time.textContent = moment(this.data.at[place] * 1000);
      row.append(time);
      for (const line of this.lines) {
        const cell = row.insertCell();
        cell.className = "number";
        cell.textContent = inUnit(line.values[place] ?? null, this.spec.unit, true);
      }
    }
    return table;
  }
}

function points(at, values, shift) {
  const made = new Array(values.length);
  for (let place = 0; place < values.length; place += 1) {
    const value = values[place];
    made[place] = { x: (at[place] + shift) * 1000, y: value === null || value === undefined ? NaN : value };
  }
  return made;
}

function isAlone(data, at) {
  return !Number.isNaN(data[at]?.y) && !(at > 0 && !Number.isNaN(data[at - 1].y)) && !(at + 1 < data.length && !Number.isNaN(data[at + 1].y));
}

// Round times in the viewer's zone, as many as there is room for.
function timesOf(min, max, width) {
  const most = Math.max(2, Math.floor(width / LABEL_WIDTH));
  const span = (max - min) / 1000;
  const step = STEPS_S.find((one) => span / one <= most) || STEPS_S[STEPS_S.length - 1];
  const zone = new Date(min).getTimezoneOffset() * 60;
  const ticks = [];
  for (let at = Math.ceil((min / 1000 - zone) / step) * step + zone; at * 1000 <= max; at += step) ticks.push({ value: at * 1000 });
  return ticks;
}

// Round sizes: 5 KiB rather than 4.88.
function sizeStep(max) {
  let unit = 1;
  while (max / 4 >= unit * 1024) unit *= 1024;
  return unit * ([1, 2, 5, 10, 20, 50, 100, 200, 500, 1024].find((one) => max / (one * unit) <= 5) || 1024);
}

function sizesOf(max) {
  const step = sizeStep(max);
  const ticks = [];
  for (let at = 0; at <= max; at += step) ticks.push({ value: at });
  return ticks;
}

function swatch(color, dash) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 22 6");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", "M0 3H22");
  line.setAttribute("stroke", color);
  line.setAttribute("stroke-width", "2.4");
  line.setAttribute("stroke-dasharray", dash.join(" "));
  svg.append(line);
  return svg;
}

function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

let speaker = null;

// For who cannot see where the line stands.
function say(words) {
  if (!speaker) {
    speaker = document.createElement("p");
    speaker.className = "hidden";
    speaker.setAttribute("role", "status");
    document.body.append(speaker);
  }
  speaker.textContent = words;
}
