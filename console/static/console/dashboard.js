// A dashboard: fetches its figures, draws them, and follows them second by second where it is live.

import { ChartGroup, TimeChart } from "./charts.js";
import { FigureStream } from "./figures.js";
import { ServerError, getJson } from "./http.js";
import { moment } from "./units.js";

const REFRESH_LEAST_S = 10;
const LATE_MS = 10000; // so old may the newest second of a live page be
const AGAIN_S = 60; // a live page looks at what it compares with
const state = document.getElementById("dash-state");
const back = document.getElementById("zoom-out");
const place = document.getElementById("charts");
const config = JSON.parse(document.getElementById(place.dataset.config).textContent);
const group = new ChartGroup({ onChoose: zoom, onMark: link });
for (const card of place.querySelectorAll("[data-chart]")) {
  const spec = config.charts.find((chart) => chart.key === card.dataset.chart);
  new TimeChart(card, spec, group);
}
let shown = { range: config.range, since: config.since, until: config.until };
let timer = 0;
let stream = null;

function say(words, kind = "") {
  state.textContent = words;
  state.className = `pill ${kind}`;
}

function times() {
  if (!shown.range) return { since: shown.since, until: shown.until };
  const until = Math.floor(Date.now() / 1000);
  return { since: until - config.spans[shown.range], until };
}

async function load(background = false) {
  clearTimeout(timer);
  const asked = { ...times(), earlier: config.earlier, with: config.other };
  const wanted = shown;
  let data;
  try {
    data = await fetchFigures(asked, background);
  } catch (error) {
    if (error instanceof ServerError && (error.status === 401 || error.status === 404)) {
      location.reload(); // signed out, or not for this person any more
      return;
    }
    say(error.message, "bad");
    timer = setTimeout(() => load(true), 5000);
    return;
  }
  if (wanted !== shown) return; // somebody looks at other times by now
  if (!data.at.length || Object.keys(data.values).length === 0) say("nothing is known of this time", "warn");
  else if (shown.range !== "live") say(shown.range ? `up to ${moment(data.at[data.at.length - 1] * 1000)}` : "as it was");
  group.show(data);
  link();
  if (shown.range === "live") follow();
  else if (shown.range) timer = setTimeout(again, Math.max(REFRESH_LEAST_S, data.step) * 1000);
}

function fetchFigures(asked, background) {
  const url = new URL(config.data, location.href);
  for (const [name, value] of url.searchParams) asked[name] = value;
  for (const [name, value] of Object.entries(asked)) if (value === "") delete asked[name];
  return getJson(url.pathname, asked, background);
}

function again() {
  if (document.hidden) timer = setTimeout(again, REFRESH_LEAST_S * 1000);
  else load(true);
}

// Live

function follow() {
  if (!stream) {
    stream = new FigureStream(hear, (words) => {
      line = words;
      tellState();
      if (words === "signed out") location.reload();
    });
    stream.follow([config.subject, ...(config.other ? [config.other] : [])]);
  }
  if (config.other || config.earlier) timer = setTimeout(again, AGAIN_S * 1000);
}

let line = "";

// A line that stands still tells nothing by itself: the collector may have ended.
function tellState() {
  if (shown.range !== "live" || !stream) return;
  const newest = (group.data?.at[group.data.at.length - 1] || 0) * 1000;
  if (line !== "live") say(line || "connecting", "warn");
  else if (newest && Date.now() - newest > LATE_MS) say(`nothing new since ${moment(newest)}`, "warn");
  else say("live", "good");
}

setInterval(tellState, 1000);

function hear(figures, missed) {
  if (shown.range !== "live" || !group.data) return;
  if (missed) {
    load(true); // what was not told is in the database
    return;
  }
  const own = figures[config.subject];
  if (!own) return;
  const gone = append(group.data, own, config.spans.live);
  const other = figures[config.other];
  if (other && group.data.other) append(group.data.other, other, config.spans.live);
  if (!document.hidden) group.refresh(gone);
}

// Add a second to the columns; how many bins went at the beginning.
function append(data, told, span) {
  const { at, values } = data;
  if (at.length && told.at <= at[at.length - 1]) return 0;
  at.push(told.at);
  for (const name of new Set([...Object.keys(values), ...Object.keys(told.values)])) {
    values[name] ||= new Array(at.length - 1).fill(null);
    // What a second did not name has not happened in it; of latencies then nothing is known.
    values[name].push(told.values[name] ?? (isMeasured(name) ? null : 0));
  }
  let gone = 0;
  while (at.length > 1 && at[gone] <= told.at - span) gone += 1;
  if (gone) {
    at.splice(0, gone);
    for (const column of Object.values(values)) column.splice(0, gone);
  }
  data.until = told.at;
  data.since = told.at - span;
  return gone;
}

function isMeasured(name) {
  return /\.p\d+$/.test(name) || /^(znodes|bytes|ephemerals|sessions|connections|watches|outstanding|fsync_p99|latency_avg|descriptors)$/.test(name);
}

// Closer, and back out

function zoom(since, until) {
  const least = 10;
  if (until - since < least) until = since + least;
  show({ range: "", since, until: Math.min(until, Math.floor(Date.now() / 1000)) });
  const address = new URL(location.href);
  address.searchParams.delete("range");
  address.searchParams.set("since", since);
  address.searchParams.set("until", until);
  history.pushState(shown, "", address);
}

function show(next) {
  stream?.close();
  stream = null;
  shown = next;
  back.hidden = shown.range === config.range && shown.since === config.since;
  for (const one of document.querySelectorAll("[data-range]")) {
    if (one.dataset.range === shown.range) one.setAttribute("aria-current", "true");
    else one.removeAttribute("aria-current");
  }
  tellTimes();
  load();
}

// The times that were chosen by dragging stand where others are typed in.
function tellTimes() {
  const choice = document.querySelector(".drop");
  choice.toggleAttribute("data-chosen", !shown.range);
  choice.querySelector("summary").textContent = shown.range ? "Other times" : `${moment(shown.since * 1000)} to ${moment(shown.until * 1000)}`;
  if (shown.range) return;
  for (const name of ["since", "until"]) choice.querySelector(`[name=${name}]`).value = new Date(shown[name] * 1000).toISOString().slice(0, 16);
}

back.addEventListener("click", () => history.back());
history.replaceState(shown, "");
addEventListener("popstate", (event) => show(event.state || { range: config.range, since: config.since, until: config.until }));

// What lies under the stretch: slow requests and lines of the trail

function link() {
  const { data } = group;
  if (!data?.at.length) return;
  const [a, b] = group.chosen ? [Math.min(...group.chosen), Math.max(...group.chosen)] : [0, data.at.length - 1];
  const since = data.at[a] - data.step + 1;
  const until = data.at[b] + 1;
  for (const card of place.querySelectorAll("[data-chart]")) {
    const failed = card.dataset.chart === "errors" ? { failed: "1" } : {};
    set(card.querySelector("[data-under=slow]"), { since, until });
    set(card.querySelector("[data-under=audit]"), { since: iso(since), until: iso(until), ...failed });
  }
}

function iso(second) {
  return new Date(second * 1000).toISOString().replace(".000", "");
}

function set(anchor, values) {
  if (!anchor) return;
  const address = new URL(anchor.href);
  for (const [name, value] of Object.entries(values)) address.searchParams.set(name, value);
  anchor.href = address;
}

// Comparing: one or the other

for (const choice of document.querySelectorAll("[data-compare]")) {
  choice.addEventListener("change", () => {
    for (const other of document.querySelectorAll("[data-compare]")) if (other !== choice) other.value = "";
    choice.form.submit();
  });
}

if (!shown.range) tellTimes();
load();
