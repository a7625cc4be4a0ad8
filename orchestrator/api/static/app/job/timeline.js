// The view Timeline, on canvas: only visible lanes are drawn. A lane is a worker with its attempts,
// gates, and waits, or a slot with the attempts that it ran one after the other.
import { path } from "../core/api.js";
import { html, useEffect, useMemo, useRef, useState } from "../core/html.js";
import { useKeys } from "../core/keys.js";
import { useQuery } from "../core/query.js";
import { go, note, place } from "../core/router.js";
import { useStore } from "../core/store.js";
import { Icon } from "../parts/icon.js";
import { attemptState } from "../parts/state.js";
import { cut, many, plain, seconds } from "../text/format.js";
import { hatch, redrawn, tokens } from "./canvas.js";
import { workerPath } from "./workersummary.js";
import { useTick } from "./model.js";

const LANE = 36;
const AXIS = 28;
// Seconds by which two attempts may overlap and still be shown in one slot, because times are rounded.
const SAME_SECONDS = 0.011;
// Maximum number of workers whose attempts are read; with more workers, each has one bar.
const MOST_DETAILED = 500;
const SHOWS = { "": "Workers", slots: "Slots" };

// Labels of the axis differ: from two minutes on, they are such as 2:20 or 1:05:00, because "2 min" is rounded.
export function tick(at) {
  if (Math.abs(at) < 1e-9) return "0 s";
  if (Math.abs(at) < 120) return seconds(at).replace(".0 s", " s");
  const [hours, minutes, rest] = [Math.floor(at / 3600), Math.floor(at / 60) % 60, Math.round(at % 60)];
  const two = (value) => String(value).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}
const names = (width) => (width < 600 ? 0 : 250);

// Bars of a worker: {kind, from, to, state, title}; kinds: work, child, pause, gate.
function bars(model, i, worker) {
  const end = (value) => value ?? model.now();
  if (model.t0[i] === null || model.state[i] === "skipped") return [];
  const made = worker?.attempts.length ? ofAttempts(model, i, worker) : [{ kind: "work", from: model.t0[i], to: end(model.t1[i]), state: model.state[i], title: "" }];
  for (const job of model.children.get(i) || []) {
    const times = model.members[job].filter((k) => model.t0[k] !== null);
    if (!times.length) continue;
    const from = Math.min(...times.map((k) => model.t0[k]));
    const to = Math.max(...times.map((k) => end(model.t1[k])));
    made.push({ kind: "child", from, to, title: `waits for child job ${model.jobs[job].job_id}` });
  }
  return made;
}

function ofAttempts(model, i, { attempts, gates }) {
  const at = (iso) => Date.parse(iso) / 1000 - model.at;
  const made = [];
  attempts.forEach((attempt, index) => {
    const last = index === attempts.length - 1;
    const from = at(attempt.started_at);
    const to = attempt.ended_at ? at(attempt.ended_at) : model.now();
    if (made.length) made.push({ kind: "pause", from: made.at(-1).to, to: from, title: "between attempts" });
    // An attempt ends after its gates. Only the gates of the last attempt are known.
    const judged = last && attempt.ended_at ? Math.min(gates.reduce((sum, gate) => sum + gate.seconds, 0), to - from) : 0;
    const bar = { kind: "work", from, to: to - judged, state: attemptState(attempt, model.state[i], last), title: `attempt ${attempt.number}${attempt.reason ? `: ${attempt.reason}` : ""}` };
    made.push(bar);
    if (judged > 0) made.push({ ...bar, kind: "gate", from: bar.to, to, title: "gates" });
  });
  return made;
}

// One lane per worker; workers of child jobs are below the worker that started them.
function lanes(model, workers) {
  const made = [];
  const add = (job, depth) => {
    const members = [...model.members[job]].sort((a, b) => (model.t0[a] ?? Infinity) - (model.t0[b] ?? Infinity) || a - b);
    for (const i of members) {
      made.push({ i, depth, state: model.state[i], title: model.name(i), about: `${model.id[i]} · ${model.state[i]}`, bars: () => bars(model, i, workers.get(model.id[i])) });
      for (const child of model.children.get(i) || []) add(child, depth + 1);
    }
  };
  if (model.jobs.length) add(0, 0);
  return made;
}

// A worker holds no slot while it waits for its child jobs, or for its next attempt.
function held(model, i, worker) {
  const all = bars(model, i, worker);
  const waits = all.filter((bar) => bar.kind === "child");
  return all.filter((bar) => bar.kind === "work" || bar.kind === "gate").flatMap((bar) => waits.reduce(
    (parts, wait) => parts.flatMap((part) => [{ ...part, to: Math.min(part.to, wait.from) }, { ...part, from: Math.max(part.from, wait.to) }]).filter((part) => part.to > part.from),
    [{ ...bar, i }],
  ));
}

// One lane per slot: each attempt is in the first slot that is free at its start.
function slots(model, workers) {
  const made = [];
  const work = [...Array(model.n).keys()].flatMap((i) => held(model, i, workers.get(model.id[i]))).sort((a, b) => a.from - b.from || a.to - b.to);
  for (const bar of work) {
    const slot = made.find((each) => each.until <= bar.from + SAME_SECONDS) || made[made.push({ until: 0, all: [] }) - 1];
    slot.until = bar.to;
    slot.all.push(bar);
  }
  return made.map(({ all }, index) => ({
    depth: 0, state: all.at(-1).to >= model.now() - 1 && model.isActive ? all.at(-1).state : "pending", title: `Slot ${index + 1}`,
    about: many(new Set(all.map((bar) => bar.i)).size, "worker"), bars: () => all,
  }));
}

function span(model) {
  let [from, to] = [Infinity, 0];
  for (let i = 0; i < model.n; i += 1) {
    if (model.t0[i] === null) continue;
    from = Math.min(from, model.t0[i]);
    to = Math.max(to, model.t1[i] ?? model.now());
  }
  return from === Infinity ? { from: 0, to: 1 } : { from, to: Math.max(to, from + 0.1) };
}

// Steps of the axis: round values, at most about ten.
export function ticks(from, to, most) {
  const least = (to - from) / most;
  const power = 10 ** Math.floor(Math.log10(least));
  const nice = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= least);
  const step = least > 30 ? [60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400].find((each) => each >= least) || nice : nice;
  const made = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) made.push(at);
  return made;
}

function frame(canvas) {
  const box = canvas.getBoundingClientRect();
  const ratio = devicePixelRatio;
  canvas.width = box.width * ratio;
  canvas.height = box.height * ratio;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return { context, width: box.width, height: box.height };
}

function bar(context, paint, { kind, state }, x, y, width, narrow) {
  const height = narrow ? 12 : 16;
  const wide = Math.max(3, width);
  if (kind === "child" || kind === "pause") {
    context.fillStyle = hatch(context, kind === "child" ? paint.waiting : paint.pending, paint.surface);
    context.fillRect(x, kind === "pause" ? y + 4 : y, wide, kind === "pause" ? height - 8 : height);
    return;
  }
  context.globalAlpha = kind === "gate" ? 0.5 : 1;
  context.fillStyle = paint[state] || paint.pending;
  context.beginPath();
  context.roundRect(x, y, wide, height, 3);
  context.fill();
  context.globalAlpha = 1;
}

function axis(context, paint, view, x, width, height) {
  context.font = `11px ${paint.sans}`;
  context.textAlign = "center";
  // Round values count from the start of the first worker.
  const most = Math.max(2, Math.floor((width - x(view.from)) / 90));
  for (const at of ticks(view.from - view.zero, view.to - view.zero, most).map((each) => each + view.zero)) {
    context.strokeStyle = paint.line;
    context.beginPath();
    context.moveTo(Math.round(x(at)) + 0.5, AXIS - 4);
    context.lineTo(Math.round(x(at)) + 0.5, height);
    context.stroke();
    context.fillStyle = paint.text3;
    context.fillText(tick(at - view.zero), x(at), 16);
  }
}

function label(context, paint, { state, depth, title, about }, y, room, narrow) {
  context.textAlign = "left";
  const left = 12 + depth * 16;
  context.fillStyle = paint[`${state}-t`] || paint.text3;
  context.beginPath();
  context.arc(left + 5, y + (narrow ? 9 : 18), 4, 0, 7);
  context.fill();
  context.font = `500 13px ${paint.sans}`;
  context.fillStyle = paint.text;
  const most = Math.max(8, Math.floor((room - left - 20) / 7));
  context.fillText(cut(plain(title), most), left + 18, y + (narrow ? 13 : 16));
  if (narrow) return;
  context.font = `11px ${paint.sans}`;
  context.fillStyle = paint.text3;
  context.fillText(about, left + 18, y + 30);
}

function paintAll(canvas, model, all, from, view) {
  const { context, width, height } = frame(canvas);
  const paint = tokens();
  const narrow = width < 600;
  const lane = narrow ? 44 : LANE;
  const left = names(width) + 12;
  const scale = (width - left - 24) / (view.to - view.from);
  const x = (at) => left + (at - view.from) * scale;
  context.clearRect(0, 0, width, height);
  const inSight = all.slice(from, from + Math.ceil(height / lane) + 1);
  inSight.forEach((each, index) => {
    const y = AXIS + index * lane;
    if ((from + index) % 2) {
      context.fillStyle = paint.zebra;
      context.fillRect(0, y, width, lane);
    }
  });
  axis(context, paint, view, x, width, height);
  context.save();
  context.beginPath();
  context.rect(left - 4, AXIS, width, height);
  context.clip();
  inSight.forEach((each, index) => {
    const y = AXIS + index * lane + (narrow ? 24 : 10);
    for (const one of each.bars()) if (one.to >= view.from && one.from <= view.to) bar(context, paint, one, x(one.from), y, (one.to - one.from) * scale - 1, narrow);
  });
  if (model.isActive) {
    context.strokeStyle = paint.accent;
    context.beginPath();
    context.moveTo(x(model.now()), AXIS);
    context.lineTo(x(model.now()), height);
    context.stroke();
  }
  context.restore();
  inSight.forEach((each, index) => label(context, paint, each, AXIS + index * lane, narrow ? width : left, narrow));
}

// The visible part: `scale` is the zoom factor, `at` the left edge as a fraction of the whole time.
function useView() {
  const [zoom, set] = useState({ scale: 1, at: 0 });
  const by = (factor) => set(({ scale, at }) => {
    const next = Math.min(2000, Math.max(1, scale * factor));
    const middle = at + 0.5 / scale;
    return { scale: next, at: Math.min(Math.max(0, middle - 0.5 / next), 1 - 1 / next) };
  });
  const move = (fraction) => set(({ scale, at }) => ({ scale, at: Math.min(Math.max(0, at + fraction / scale), 1 - 1 / scale) }));
  return { zoom, by, move, whole: () => set({ scale: 1, at: 0 }) };
}

function useDrag(move) {
  const from = useRef(null);
  return {
    onPointerDown: (event) => { from.current = { x: event.clientX, moved: false }; },
    onPointerMove: (event) => {
      if (!from.current || !event.buttons) return;
      const width = event.currentTarget.clientWidth;
      if (Math.abs(event.clientX - from.current.x) > 3) from.current.moved = true;
      move((from.current.x - event.clientX) / width);
      from.current.x = event.clientX;
    },
    wasDrag: () => from.current?.moved,
  };
}

const KINDS = [["work", "attempt"], ["child", "waits for a child job"], ["pause", "between attempts"], ["gate", "gates"]];
const Key = () => html`<div class="key grow">${KINDS.map(([kind, words]) => html`<span key=${kind}><svg><rect width="10" height="10" rx="2"
  class=${kind === "work" || kind === "gate" ? "f-success" : ""} opacity=${kind === "gate" ? 0.5 : 1} fill=${{ child: "url(#hatch)", pause: "url(#hatch-r)" }[kind]} /></svg>${words}</span>`)}</div>`;

// Details of each worker; read again when a worker has started or ended.
function useWorkers(model) {
  const { data, refresh } = useQuery(model.n <= MOST_DETAILED ? path("jobs", model.job) : null);
  const beat = `${model.status}${model.counts.running}${model.counts.pending}`;
  useEffect(() => {
    const timer = setTimeout(refresh, 500);
    return () => clearTimeout(timer);
  }, [beat]);
  return useMemo(() => new Map((data?.workers || []).map((worker) => [worker.worker_id, worker])), [data]);
}

export function View({ model }) {
  useTick(model.isActive, 500);
  const shows = new URLSearchParams(useStore(place).search).get("by") === "slots" ? "slots" : "";
  const workers = useWorkers(model);
  const canvas = useRef(null);
  const [scrolled, setScrolled] = useState(0);
  const { zoom, by, move, whole } = useView();
  const beat = shows && model.isActive ? Math.floor(model.now() / (model.n > 1000 ? 5 : 1)) : model.version;
  const all = useMemo(() => (shows ? slots : lanes)(model, workers), [beat, workers, shows]);
  const { from, to } = span(model);
  const length = (to - from) * (model.isActive ? 1.15 : 1.02);
  const view = { zero: from, from: from + zoom.at * length, to: from + (zoom.at + 1 / zoom.scale) * length };
  const lane = innerWidth < 640 ? 44 : LANE;
  const first = Math.floor(scrolled / lane);
  useEffect(() => {
    const again = () => canvas.current && paintAll(canvas.current, model, all, first, view);
    again();
    return redrawn(again);
  });
  useKeys({ "+": () => by(1.6), "-": () => by(1 / 1.6), "−": () => by(1 / 1.6), 0: whole, ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2) });
  const drag = useDrag(move);
  const open = (event) => {
    if (drag.wasDrag()) return;
    const box = canvas.current.getBoundingClientRect();
    const found = all[first + Math.floor((event.clientY - box.top - AXIS) / lane)];
    const left = names(box.width) + 12;
    const at = view.from + ((event.clientX - box.left - left) / (box.width - left - 24)) * (view.to - view.from);
    const i = found?.i ?? found?.bars().find((each) => each.from <= at && at <= each.to)?.i;
    if (i !== undefined) go(workerPath(model, i));
  };
  const height = Math.min(all.length * lane + AXIS + 12, Math.max(320, innerHeight - 320));
  return html`<div class="card"><header class="wrap"><h2 class="sr">Timeline</h2><${Key} />${model.isActive && html`<span class="live hide-s">live</span>`}
      <div class="seg-c" role="group" aria-label="Lanes of the timeline">${Object.entries(SHOWS).map(([name, word]) => html`<button key=${name} type="button"
        aria-pressed=${String(shows === name)} onClick=${() => note({ by: name })}>${word}</button>`)}</div>
      <button class="btn sm icon" aria-label="Zoom out" onClick=${() => by(1 / 1.6)}>−</button><button class="btn sm icon" aria-label="Zoom in" onClick=${() => by(1.6)}><${Icon} name="i-plus" /></button></header>
    <div class="lanes" tabindex="0" role="region" aria-label="Timeline, scroll to see all" style=${{ height: `${height}px` }} onScroll=${(event) => setScrolled(event.target.scrollTop)}>
      <canvas ref=${canvas} class="gantt" role="img" aria-label=${`Timeline of ${many(all.length, "lane")} over ${seconds(to - from)}; the table has the same as text`}
        style=${{ height: `${height - 2}px` }} onClick=${open} onPointerDown=${drag.onPointerDown} onPointerMove=${drag.onPointerMove}></canvas>
      <div style=${{ height: `${Math.max(0, all.length * lane + AXIS + 12 - height)}px` }}></div></div></div>
    <p class="foot"><span class="hide-s"><kbd>+</kbd> <kbd>−</kbd> zoom · <kbd>0</kbd> show all · drag to move · a click opens the worker${shows && "; slots are computed from the times of the attempts"}</span>
      <span>As text: <a class="link" href=${`/jobs/${model.job}/table`}>table</a></span></p>`;
}
