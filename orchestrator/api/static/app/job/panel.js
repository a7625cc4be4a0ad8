// The panel next to the graph: the selected worker, its activity, and the end of its log.
import { path, post, text } from "../core/api.js";
import { html, useEffect, useState } from "../core/html.js";
import { useQuery } from "../core/query.js";
import { mayChange } from "../core/session.js";
import { act } from "../parts/actions.js";
import { ask } from "../parts/dialogs.js";
import { Icon } from "../parts/icon.js";
import { State } from "../parts/state.js";
import { money, plain, tokens } from "../text/format.js";
import { Line, linesOf } from "../worker/lines.js";
import { facts, workerPath } from "./workersummary.js";

const TAIL = 6;
const TAIL_MS = 2000;

function Tail({ model, i }) {
  const running = model.state[i] === "running";
  const address = model.t0[i] === null ? null : path("jobs", model.job, "logs", model.id[i]);
  const load = (signal) => text(address, { tail: TAIL }, { signal });
  const { data, refresh } = useQuery(address, { tail: TAIL }, { load, every: running ? TAIL_MS : undefined });
  useEffect(() => { if (address) refresh(); }, [model.state[i]]);
  const lines = linesOf(data || "").slice(-TAIL);
  if (!lines.length) return null;
  return html`<div class="log" role="region" aria-label="End of the log" tabindex="0">${lines.map((line, index) => html`<div key=${index}><span class="ln" aria-hidden="true">·</span><${Line} text=${line} /></div>`)}
    ${running && html`<div><span class="ln"></span><span class="tx"><span class="caret"></span></span></div>`}</div>`;
}

export async function messageTo(job, worker) {
  const words = await ask({ title: `Message to ${worker}`, text: "The agent reads the message before its next step.", field: "Message", required: true, yes: "Send", no: "Close" });
  return words && act(() => post(path("jobs", job, "workers", worker, "message"), { text: words }), "Sent");
}

export async function stopWorker(job, worker) {
  const yes = await ask({ title: `Stop ${worker}`, text: "The worker's changes stay on its branch. Tasks that depend on the worker are skipped.", yes: "Stop", danger: true });
  return yes && act(() => post(path("jobs", job, "workers", worker, "cancel")), "Stopped");
}

export const retryWorker = (job, worker) => act(() => post(path("jobs", job, "workers", worker, "retry")), "The worker runs again");

function Actions({ model, i, refresh }) {
  const [job, worker, state] = [model.job, model.id[i], model.state[i]];
  const isActive = ["running", "waiting"].includes(state);
  const { data } = useQuery(isActive && path("jobs", job, "workers", worker));
  if (!mayChange()) return null;
  const then = (call) => async () => { await call(job, worker); refresh(); };
  if (isActive) {
    return html`<div class="acts">${data?.can?.includes("message") && html`<button class="btn sm" onClick=${then(messageTo)}><${Icon} name="i-send" />Message</button>`}
      <button class="btn sm danger" onClick=${then(stopWorker)}><${Icon} name="i-stop" />Stop</button></div>`;
  }
  if (["failed", "timeout", "skipped", "cancelled"].includes(state)) {
    return html`<div class="acts"><button class="btn sm" onClick=${then(retryWorker)}><${Icon} name="i-retry" />Retry</button></div>`;
  }
  return null;
}

function users(model, i) {
  const all = [];
  for (let k = 0; k < model.n; k += 1) if (model.deps[k] && model.deps[k].includes(i)) all.push(model.name(k));
  return [...new Set(all)];
}

function Facts({ model, i }) {
  const waits = (model.deps[i] || []).filter((k) => model.state[k] !== "success").map((k) => model.name(k));
  const needed = users(model, i);
  const reason = model.reason[i];
  const used = [model.tokens[i] ? `${tokens(model.tokens[i])} tokens` : "", model.cost[i] ? money(model.cost[i]) : ""].filter(Boolean).join(" · ");
  return html`<dl class="facts">
    ${reason && html`<dt>Reason</dt><dd>${plain(reason)}</dd>`}
    ${model.state[i] === "pending" && waits.length > 0 && html`<dt>Waits for</dt><dd>${plain(waits.join(", "))}</dd>`}
    ${used && html`<dt>Usage</dt><dd class="num">${used}</dd>`}
    ${model.files[i] > 0 && html`<dt>Files</dt><dd class="num">${model.files[i]}</dd>`}
    ${needed.length > 0 && html`<dt>Needed by</dt><dd>${plain(needed.slice(0, 5).join(", "))}${needed.length > 5 ? ` and ${needed.length - 5} more` : ""}</dd>`}
    ${(model.children.get(i) || []).map((job) => html`<dt key=${job}>Child job</dt><dd><a class="link mono" href=${`/jobs/${model.jobs[job].job_id}`}>${model.jobs[job].job_id}</a> ${model.jobs[job].status}</dd>`)}</dl>`;
}

export function Panel({ model, i, refresh }) {
  const [, again] = useState(0);
  useEffect(() => again((n) => n + 1), [i]);
  return html`<aside class="card panel" aria-labelledby="sh"><header><${State} state=${model.state[i]} /><h2 id="sh" class="sr">${model.id[i]}</h2><span class="fill grow"></span>
      <a class="btn sm" href=${workerPath(model, i)}>Open<kbd class="hide-s">Enter</kbd></a></header>
    <div class="pad stack"><div><h3>${plain(model.name(i))}</h3><p class="small muted">${facts(model, i)}</p></div>
      <${Facts} model=${model} i=${i} /><${Actions} key=${model.id[i]} model=${model} i=${i} refresh=${refresh} /></div>
    <${Tail} key=${model.id[i]} model=${model} i=${i} /></aside>`;
}
