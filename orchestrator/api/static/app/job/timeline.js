// The timeline on canvas: it draws the lanes in sight, whatever their number is.
import { html, useEffect, useMemo, useRef, useState } from "../core/html.js";
import { useKeys } from "../core/keys.js";
import { go } from "../core/router.js";
import { Icon } from "../parts/icon.js";
import { many, plain, seconds } from "../text/format.js";
import { workerPath } from "./graph.js";
import { lanes, span, ticks } from "./lanes.js";
import { useTick } from "./model.js";
import { hatch, tokens } from "./paint.js";

const LANE = 36;
const AXIS = 28;

const tick = (at) => (Math.abs(at) < 1e-9 ? "0 s" : seconds(at).replace(".0 s", " s"));
const names = (width) => (width < 600 ? 0 : 250);

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
  for (const at of ticks(view.from, view.to, Math.max(2, Math.floor((width - x(view.from)) / 90)))) {
    context.strokeStyle = paint.line;
    context.beginPath();
    context.moveTo(Math.round(x(at)) + 0.5, AXIS - 4);
    context.lineTo(Math.round(x(at)) + 0.5, height);
    context.stroke();
    context.fillStyle = paint.text3;
    context.fillText(tick(at - view.zero), x(at), 16);
  }
}

function label(context, paint, model, lane, y, room, narrow) {
  const { i, depth } = lane;
  context.textAlign = "left";
  const left = 12 + depth * 16;
  context.fillStyle = paint[`${model.state[i]}-t`] || paint.text3;
  context.beginPath();
  context.arc(left + 5, y + (narrow ? 9 : 18), 4, 0, 7);
  context.fill();
  context.font = `500 13px ${paint.sans}`;
  context.fillStyle = paint.text;
  const most = Math.max(8, Math.floor((room - left - 20) / 7));
  const name = plain(model.name(i));
  context.fillText(name.length > most ? `${name.slice(0, most - 1)}…` : name, left + 18, y + (narrow ? 13 : 16));
  if (narrow) return;
  context.font = `11px ${paint.sans}`;
  context.fillStyle = paint.text3;
  context.fillText(`${model.id[i]} · ${model.state[i]}`, left + 18, y + 30);
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
    for (const one of each.bars()) bar(context, paint, one, x(one.from), y, (one.to - one.from) * scale - 1, narrow);
  });
  if (model.isActive) {
    context.strokeStyle = paint.accent;
    context.beginPath();
    context.moveTo(x(model.now()), AXIS);
    context.lineTo(x(model.now()), height);
    context.stroke();
  }
  context.restore();
  inSight.forEach((each, index) => label(context, paint, model, each, AXIS + index * lane, narrow ? width : left, narrow));
}

// How far one has zoomed in and gone to the right: fractions of the whole.
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

const KINDS = [["work", "attempt"], ["child", "waits for a child job"], ["pause", "pause before a retry"], ["gate", "gates"]];
const Key = () => html`<div class="key grow">${KINDS.map(([kind, words]) => html`<span key=${kind}><svg><rect width="10" height="10" rx="2"
  class=${kind === "work" || kind === "gate" ? "f-success" : ""} opacity=${kind === "gate" ? 0.5 : 1} fill=${{ child: "url(#hatch)", pause: "url(#hatch-r)" }[kind]} /></svg>${words}</span>`)}</div>`;

export function View({ model, details }) {
  useTick(model.isActive, 500);
  const canvas = useRef(null);
  const [scrolled, setScrolled] = useState(0);
  const { zoom, by, move, whole } = useView();
  const all = useMemo(() => lanes(model, details), [model.version, details]);
  const { from, to } = span(model);
  const length = (to - from) * (model.isActive ? 1.15 : 1.02);
  const view = { zero: from, from: from + zoom.at * length, to: from + (zoom.at + 1 / zoom.scale) * length };
  const lane = innerWidth < 640 ? 44 : LANE;
  const first = Math.floor(scrolled / lane);
  useEffect(() => {
    const again = () => canvas.current && paintAll(canvas.current, model, all, first, view);
    again();
    const events = ["resize", "themechange"];
    events.forEach((name) => addEventListener(name, again));
    return () => events.forEach((name) => removeEventListener(name, again));
  });
  useKeys({ "+": () => by(1.6), "-": () => by(1 / 1.6), "−": () => by(1 / 1.6), 0: whole, ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2) });
  const drag = useDrag(move);
  const open = (event) => {
    if (drag.wasDrag()) return;
    const box = canvas.current.getBoundingClientRect();
    const found = all[first + Math.floor((event.clientY - box.top - AXIS) / lane)];
    if (found) go(workerPath(model, found.i));
  };
  const height = Math.min(all.length * lane + AXIS + 12, Math.max(320, innerHeight - 320));
  return html`<div class="card"><header><h2 class="sr">Timeline</h2><${Key} />${model.isActive && html`<span class="live hide-s">live</span>`}
      <button class="btn sm icon" aria-label="Zoom out" onClick=${() => by(1 / 1.6)}>−</button><button class="btn sm icon" aria-label="Zoom in" onClick=${() => by(1.6)}><${Icon} name="i-plus" /></button></header>
    <div class="lanes" tabindex="0" role="region" aria-label="Timeline, scroll to see all" style=${{ height: `${height}px` }} onScroll=${(event) => setScrolled(event.target.scrollTop)}>
      <canvas ref=${canvas} class="gantt" role="img" aria-label=${`Timeline of ${many(all.length, "lane")} over ${seconds(to - from)}; the table has the same as text`}
        style=${{ height: `${height - 2}px` }} onClick=${open} onPointerDown=${drag.onPointerDown} onPointerMove=${drag.onPointerMove}></canvas>
      <div style=${{ height: `${Math.max(0, all.length * lane + AXIS + 12 - height)}px` }}></div></div></div>
    <p class="foot"><span class="hide-s"><kbd>+</kbd> <kbd>−</kbd> zoom · <kbd>0</kbd> all of it · drag to move · a click opens the worker</span>
      <span>As text: <a class="link" href=${`/jobs/${model.job}/table`}>table</a></span></p>`;
}
