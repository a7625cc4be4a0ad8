// The view Table: workers that need attention first, child jobs below the worker that started them.
import { path, post } from "../core/api.js";
import { html, useMemo, useRef, useState } from "../core/html.js";
import { useKeys } from "../core/keys.js";
import { go, note, place } from "../core/router.js";
import { mayChange } from "../core/session.js";
import { useStore } from "../core/store.js";
import { ask } from "../parts/dialogs.js";
import { csv, save } from "../parts/download.js";
import { Icon } from "../parts/icon.js";
import { useWindow } from "../parts/rows.js";
import { State } from "../parts/state.js";
import { say } from "../parts/toast.js";
import { many, money, plain, seconds, tokens } from "../text/format.js";
import { workerPath } from "./workersummary.js";
import { ranked, reasonKind } from "./layout.js";
import { attention } from "./model.js";
import { retryWorker } from "./panel.js";

const ROW = { wide: 48, phone: 92 };
// A table with thousands of rows is sorted at most once in two seconds.
const SORT_MS = 2000;
const NONE = new Set();
const GROUPS = {
  "": ["All", () => true],
  attention: ["Attention", (state) => state === "failed" || state === "timeout"],
  running: ["Running", (state) => state === "running" || state === "waiting"],
  success: ["Done", (state) => state === "success"],
};
const ORDERS = {
  state: null,
  task: () => (a, b) => a - b,
  time: (model) => (a, b) => (model.seconds(b) ?? -1) - (model.seconds(a) ?? -1),
  tokens: (model) => (a, b) => (model.tokens[b] || 0) - (model.tokens[a] || 0),
  cost: (model) => (a, b) => (model.cost[b] || 0) - (model.cost[a] || 0),
};

function matching(model, { status, q, step }) {
  const group = GROUPS[status]?.[1] || ((state) => state === status);
  const word = q.toLowerCase();
  const texts = (i) => [model.name(i), model.id[i], model.agent(i), model.reason[i] || "", reasonKind(model.reason[i] || "")];
  const has = (i) => texts(i).some((each) => each.toLowerCase().includes(word));
  const own = step && new Set((ranked(model)[step - 1] || []).flatMap((unit) => unit.workers));
  const found = [];
  for (let i = 0; i < model.n; i += 1) if (group(model.state[i]) && (!own || own.has(i)) && (!word || has(i))) found.push(i);
  return found;
}

// Orders workers by state in one pass, because thousands of workers are ordered while they run.
function sorted(model, found, order) {
  if (ORDERS[order]) return found.sort(ORDERS[order](model));
  const groups = [];
  for (const i of found) (groups[attention(model.state[i])] ||= []).push(i);
  return groups.flat();
}

// Puts workers of child jobs below the worker that started them, if the list is not filtered or sorted.
function ordered(model, { status, q, step, order }) {
  const found = sorted(model, matching(model, { status, q, step }), order);
  if (model.jobs.length === 1 || status || q || step || order !== "state") return found.map((i) => ({ i, depth: 0 }));
  const below = new Map();
  for (const i of found) {
    if (!below.has(model.parent[i])) below.set(model.parent[i], []);
    below.get(model.parent[i]).push(i);
  }
  const rows = [];
  const add = (parent, depth) => {
    for (const i of below.get(parent) || []) {
      rows.push({ i, depth });
      add(i, depth + 1);
    }
  };
  add(-1, 0);
  return rows;
}

// Redrawn only if a shown value has changed, because most of thousands of events change other rows.
function Row({ model, row, selected, marked, select, mark }) {
  const { i, depth } = row;
  const took = seconds(model.seconds(i));
  const why = model.reason[i] && model.state[i] !== "success" ? plain(model.reason[i]) : "";
  const shown = [i, depth, model.state[i], took, why, model.attempt[i], model.tokens[i], model.cost[i], model.gateCounts(i), model.files[i], model.chosen[i], selected, marked].join("|");
  return useMemo(() => html`<tr class=${depth ? "sub" : ""} aria-selected=${selected || marked ? "true" : undefined} onFocusIn=${() => select(i)}>
    <td>${mayChange() && html`<input type="checkbox" class="mark" checked=${marked} aria-label=${`Select ${model.id[i]}`} onChange=${() => mark(i)} />`}<${State} state=${model.state[i]} /></td>
    <td class=${`full ${depth ? `ind${Math.min(depth, 3)}` : ""}`}><span class="t">${depth > 0 && html`<${Icon} name="i-tree" small=${true} />`}<a class="cut" href=${workerPath(model, i)} data-row data-worker=${model.id[i]}>${plain(model.name(i))}</a>
      <span class="mono small muted">${model.id[i]}</span>${model.chosen[i] === true && html`<span class="chip">chosen</span>`}</span><span class="why">${why}</span></td>
    <td class="soft">${model.agent(i)}</td><td class="r num" data-l="attempt">${model.attempt[i] || "–"}</td><td class="r num">${took}</td>
    <td class="r num hide-s">${tokens(model.tokens[i])}</td><td class="r num">${model.cost[i] ? money(model.cost[i]) : "–"}</td>
    <td class="r num hide-s">${model.gateCounts(i) || "–"}</td><td class="r num hide-s">${model.files[i] || "–"}</td></tr>`, [shown]);
}

const MAY_RETRY = new Set(["failed", "timeout", "skipped", "cancelled"]);
const MAY_STOP = new Set(["running", "waiting", "pending"]);

// Makes one call for each worker, all in parallel. The message has the number of rejected calls, and
// the reason of the first rejected call.
async function each(model, places, name, done) {
  const calls = places.map((i) => post(path("jobs", model.job, "workers", model.id[i], name)));
  const refused = (await Promise.allSettled(calls)).filter((call) => call.status === "rejected");
  say(`${many(places.length - refused.length, "worker")} ${done}${refused.length ? `; ${refused.length} rejected: ${refused[0].reason.message}` : ""}`);
}

// The number of selected workers, and the actions for them.
function Marked({ model, marks, clear, refresh }) {
  if (!marks.size) return null;
  const of = (states) => [...marks].filter((i) => states.has(model.state[i]));
  const [again, stop] = [of(MAY_RETRY), of(MAY_STOP)];
  const retry = async () => { await each(model, again, "retry", "will run again"); clear(); refresh(); };
  const cancel = async () => {
    const text = `Cancel ${many(stop.length, "worker")}? Their changes stay on their branches. Tasks that depend on them are skipped.`;
    if (!(await ask({ title: "Cancel workers", text, yes: "Cancel workers", danger: true }))) return;
    await each(model, stop, "cancel", "cancelled");
    clear();
    refresh();
  };
  return html`<section class="reviewbar" aria-label="Selected workers"><span class="grow small">${many(marks.size, "worker")} selected</span>
    ${again.length > 0 && html`<button type="button" class="btn" onClick=${retry}><${Icon} name="i-retry" />Retry ${again.length}</button>`}
    ${stop.length > 0 && html`<button type="button" class="btn danger" onClick=${cancel}><${Icon} name="i-stop" />Cancel ${stop.length}</button>`}
    <button type="button" class="btn ghost" onClick=${clear}>Select none</button></section>`;
}

function Head({ order, sort }) {
  const column = (name, word, kind = "") => html`<th class=${kind} aria-sort=${order === name ? "descending" : undefined}>
    <button type="button" class="sort" onClick=${() => sort(name)}>${word}${order === name ? " ↓" : ""}</button></th>`;
  return html`<thead><tr>${column("state", "State")}${column("task", "Task")}<th>Agent</th><th class="r">Attempt</th>${column("time", "Time", "r")}
    ${column("tokens", "Tokens", "r hide-s")}${column("cost", "Cost", "r")}<th class="r hide-s">Gates</th><th class="r hide-s">Files</th></tr></thead>`;
}

const COLUMNS = ["worker", "task", "title", "agent", "status", "attempts", "seconds", "tokens", "cost_usd", "files", "reason"];
const cells = (model, i) => [model.id[i], model.task[i], model.name(i), model.agent(i), model.state[i], model.attempt[i],
  model.seconds(i) ?? "", model.tokens[i] || "", model.cost[i] || "", model.files[i], model.reason[i] || ""];

function Tools({ model, filter, rows }) {
  const counted = (test) => Object.entries(model.counts).reduce((sum, [state, n]) => sum + (test(state) ? n : 0), 0);
  const other = filter.status && !GROUPS[filter.status];
  return html`<div class="tools"><label class="find"><span class="sr">Filter workers</span><${Icon} name="i-search" />
      <input class="in" type="search" placeholder="Filter by task, agent, reason" value=${filter.q} onInput=${(event) => note({ q: event.target.value })} /><kbd class="hide-s">/</kbd></label>
    <div class="seg-c" role="group" aria-label="Which workers">${Object.entries(GROUPS).map(([name, [word, test]]) => html`<button key=${name} type="button"
      aria-pressed=${String(filter.status === name)} onClick=${() => note({ status: name })}>${word} <span class="num">${counted(test)}</span></button>`)}
      ${other && html`<button type="button" aria-pressed="true" onClick=${() => note({ status: "" })}>${filter.status} <span class="num">${rows.length}</span></button>`}</div>
    ${filter.step > 0 && html`<button type="button" class="btn sm" aria-label=${`Show all steps, not only step ${filter.step}`} onClick=${() => note({ step: "" })}>Step ${filter.step}<${Icon} name="i-x" small /></button>`}
    <span class="fill"></span><button class="btn ghost hide-s" onClick=${() => save(`${model.job}.csv`, csv(COLUMNS, rows.map(({ i }) => cells(model, i))))}><${Icon} name="i-download" />CSV</button></div>`;
}

export function View({ model, refresh }) {
  const given = new URLSearchParams(useStore(place).search);
  const filter = { status: given.get("status") || "", q: given.get("q") || "", step: Number(given.get("step")) || 0, order: given.get("order") in ORDERS ? given.get("order") : "state" };
  const [selected, select] = useState(null);
  const kept = useRef({ at: 0 });
  const height = innerWidth <= 720 ? ROW.phone : ROW.wide;
  // The order does not change while the focus is in the table.
  const key = JSON.stringify([filter, model.n]);
  const rows = useMemo(() => {
    const { key: before, at } = kept.current;
    const recent = model.n > 1000 && performance.now() - at < SORT_MS;
    const held = before === key && (recent || document.activeElement?.closest?.("tbody"));
    if (!held) kept.current = { key, rows: ordered(model, filter), at: performance.now() };
    return kept.current.rows;
  }, [key, model.version]);
  const { holder, from, to, before, after } = useWindow(rows.length, height);
  const [marks, setMarks] = useState(NONE);
  const mark = (i) => setMarks((known) => {
    const next = new Set(known);
    if (!next.delete(i)) next.add(i);
    return next;
  });
  const again = () => selected !== null && mayChange() && MAY_RETRY.has(model.state[selected]);
  useKeys({
    x: () => (selected !== null && mayChange() ? void mark(selected) : false),
    r: () => (again() ? void retryWorker(model.job, model.id[selected]).then(refresh) : false),
    Escape: () => (marks.size ? void setMarks(NONE) : false),
    l: () => selected !== null && go(workerPath(model, selected)),
    d: () => selected !== null && go(`/jobs/${model.job}/changes?worker=${model.id[selected]}`),
  });
  return html`<${Tools} model=${model} filter=${filter} rows=${rows} />
    <div class="card"><table class="tbl cards w fixed-rows"><caption class="sr">${many(rows.length, "worker")}, what needs attention first</caption>
      <${Head} order=${filter.order} sort=${(order) => note({ order: order === "state" ? "" : order })} /><tbody ref=${holder}>
      ${before > 0 && html`<tr class="space" aria-hidden="true"><td colspan="9"><div style=${{ height: `${before}px` }}></div></td></tr>`}
      ${rows.slice(from, to).map((row) => html`<${Row} key=${row.i} model=${model} row=${row} selected=${selected === row.i} select=${select} marked=${marks.has(row.i)} mark=${mark} />`)}
      ${after > 0 && html`<tr class="space" aria-hidden="true"><td colspan="9"><div style=${{ height: `${after}px` }}></div></td></tr>`}</tbody></table>
      ${rows.length === 0 && html`<p class="pad muted">No worker matches the filter.</p>`}</div>
    <${Marked} model=${model} marks=${marks} clear=${() => setMarks(NONE)} refresh=${refresh} />
    <p class="foot"><span>${many(rows.length, "worker")}</span><span class="hide-s"><kbd>j</kbd> <kbd>k</kbd> move · <kbd>Enter</kbd> log · <kbd>x</kbd> select · <kbd>r</kbd> retry · <kbd>d</kbd> changes</span></p>`;
}
