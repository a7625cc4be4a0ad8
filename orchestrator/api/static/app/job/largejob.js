// A very large job: one cell per worker, one row per rank, and the reasons of failures.
import { path, post } from "../core/api.js";
import { html, useEffect, useMemo, useRef } from "../core/html.js";
import { throttled } from "../core/live.js";
import { go } from "../core/router.js";
import { mayChange } from "../core/session.js";
import { act } from "../parts/actions.js";
import { Icon } from "../parts/icon.js";
import { Legend, Mark, countsAsText, State, total } from "../parts/state.js";
import { count, many, plain, seconds } from "../text/format.js";
import { place as cellAt, draw, redrawn } from "./canvas.js";
import { workerPath } from "./workersummary.js";
import { commonName, ranked, reasonKind } from "./layout.js";
import { useTick } from "./model.js";

const DRAW_MS = 700;
const ORDER_MS = 3000;

const tablePath = (model, search) => `/jobs/${model.job}/table?${new URLSearchParams(search)}`;

// One cell for each worker of `places`, drawn on canvas.
function Strip({ model, places, name, big }) {
  const canvas = useRef(null);
  const again = () => canvas.current && draw(canvas.current, places.map((i) => model.state[i]));
  const wish = useMemo(() => throttled(again, DRAW_MS), [places]);
  useEffect(() => wish(), [model.version, wish]);
  useEffect(() => {
    const end = redrawn(again);
    return () => { end(); wish.cancel(); };
  }, [places]);
  const open = (event) => {
    const i = places[cellAt(canvas.current, places.length, event.offsetX, event.offsetY)];
    if (i !== undefined) go(workerPath(model, i));
  };
  return html`<canvas ref=${canvas} class=${big ? "strip" : "heat"} role="img" aria-label=${`${name}: ${countsAsText(counted(model, places))}`} onClick=${open}></canvas>`;
}

function counted(model, places) {
  const counts = {};
  for (const i of places) counts[model.state[i]] = (counts[model.state[i]] || 0) + 1;
  return counts;
}

// Workers in the order of their start; workers that have not started come last.
function byStart(model) {
  const all = [...model.members[0]];
  return all.sort((a, b) => (model.t0[a] ?? Infinity) - (model.t0[b] ?? Infinity) || a - b);
}

function Ranks({ model, ranks }) {
  return html`<section class="card"><header><h2>By step</h2><span class="small muted">${many(ranks.length, "step")}, first at the top</span></header>
    <ol>${ranks.map(({ title, places }, rank) => html`<li class="rank" key=${rank}><h3><a class="cut" href=${tablePath(model, { step: rank + 1 })} data-row>${plain(title)}</a>
        <span class="small muted num">step ${rank + 1} · ${many(places.length, "worker")}</span></h3><${Strip} model=${model} places=${places} name=${plain(title)} />
      <${Legend} counts=${counted(model, places)} href=${(state) => tablePath(model, { step: rank + 1, status: state })} /></li>`)}</ol></section>`;
}

function reasons(model) {
  const groups = new Map();
  for (const [place, reason] of Object.entries(model.reason)) {
    const i = Number(place);
    if (!["failed", "timeout"].includes(model.state[i])) continue;
    const key = model.state[i] + reasonKind(reason);
    const group = groups.get(key) || { state: model.state[i], reason, places: [] };
    group.places.push(i);
    groups.set(key, group);
  }
  return [...groups.values()].sort((a, b) => b.places.length - a.places.length).slice(0, 12);
}

function Failures({ model, refresh }) {
  const failed = (model.counts.failed || 0) + (model.counts.timeout || 0);
  if (!failed) return null;
  const groups = reasons(model);
  const retry = async () => { await act(() => post(path("jobs", model.job, "retry")), "The workers run again"); refresh(); };
  return html`<section class="card"><header><h2>Why ${count(failed)} failed</h2>${mayChange() && !model.isActive && html`<button class="btn sm" onClick=${retry}><${Icon} name="i-retry" />Retry ${count(failed)}</button>`}</header>
    <ul class="list">${groups.map((group) => html`<li key=${group.reason}><${State} state=${group.state}>${count(group.places.length)}<//>
      <a class="grow cut" href=${tablePath(model, { status: group.state, q: reasonKind(group.reason) })}>${plain(group.reason)}</a><${Icon} name="i-right" small=${true} /></li>`)}</ul></section>`;
}

function Running({ model }) {
  const places = model.members[0].filter((i) => model.state[i] === "running").slice(0, 8);
  if (!places.length) return null;
  return html`<section class="card"><header><h2>Running now</h2><a class="link small" href=${tablePath(model, { status: "running" })}>All ${count(model.counts.running)}</a></header>
    <ul class="list">${places.map((i) => html`<li key=${i}><${Mark} state="running" /><a class="grow cut" href=${workerPath(model, i)}><span class="mono">${model.id[i]}</span> <span class="muted">${plain(model.name(i))}</span></a>
      <span class="small num soft">${seconds(model.seconds(i))}</span></li>`)}</ul></section>`;
}

export function LargeJob({ model, refresh }) {
  useTick(model.isActive);
  const ranks = useMemo(() => ranked(model).map((units) => ({ title: commonName(model, units), places: units.flatMap((unit) => unit.workers) })), [model.n]);
  const order = useMemo(() => byStart(model), [model.n, model.isActive ? Math.floor(performance.now() / ORDER_MS) : 0]);
  return html`<div class="stack"><section class="card"><header><h2>All workers, one cell each</h2><span class="small muted hide-s">in order of start; a click opens the worker</span>
      ${model.isActive && html`<span class="live">live</span>`}</header><div class="stripw"><${Strip} model=${model} places=${order} name=${many(total(model.own), "worker")} big=${true} /></div></section>
    <${Ranks} model=${model} ranks=${ranks} /><div class="half"><${Failures} model=${model} refresh=${refresh} /><${Running} model=${model} /></div></div>`;
}
