// The page of a worker: its log, steps, and prompt; next to them its attempts, gates, and files.
import { path } from "../core/api.js";
import { html, useEffect } from "../core/html.js";
import { useKeys } from "../core/keys.js";
import { useQuery } from "../core/query.js";
import { go, note, place } from "../core/router.js";
import { mayChange } from "../core/session.js";
import { useStore } from "../core/store.js";
import { Arriving, Failure } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { drawn, State } from "../parts/state.js";
import { Tabs } from "../parts/tabs.js";
import { Title } from "../parts/title.js";
import { money, plain, seconds, tokens } from "../text/format.js";
import { messageTo, retryWorker, stopWorker } from "../job/panel.js";
import { useTick } from "../job/model.js";
import { Attempts, Checkpoints, Files, Gates, Place, Rejections } from "../worker/details.js";
import { Log } from "../worker/log.js";
import { Question } from "../worker/question.js";
import { Prompt, Steps } from "../worker/steps.js";

const LIVE_MS = 2000;
const PERSON = "person";
// Its workers run commands, so they have no prompt and no steps.
const SHELL = "shell";
const TABS = [["", "Log", "i-log"], ["steps", "Steps", "i-comment"], ["prompt", "Prompt", "i-report"]];

function Actions({ job, worker, refresh }) {
  const then = (call) => async () => { await call(job, worker.worker_id); refresh(); };
  const state = drawn(worker.status);
  const active = ["running", "waiting"].includes(state);
  useKeys({
    s: () => active && mayChange() && worker.can?.includes("message") && then(messageTo)(), c: () => active && mayChange() && then(stopWorker)(),
    d: () => go(`/jobs/${job}/changes?worker=${worker.worker_id}`), r: () => worker.can?.includes("retry") && mayChange() && then(retryWorker)(),
  });
  if (!mayChange()) return null;
  if (active) {
    return html`<div class="acts">${worker.can?.includes("message") && html`<button class="btn" onClick=${then(messageTo)}><${Icon} name="i-send" />Message</button>`}
      <button class="btn danger" onClick=${then(stopWorker)}><${Icon} name="i-stop" />Stop</button></div>`;
  }
  const asks = worker.attempts.at(-1)?.failure?.cause === "asked";
  return html`<div class="acts">${worker.agent !== SHELL && worker.can?.includes("feedback") && html`<a class=${`btn ${asks ? "primary" : ""}`} href=${`/jobs/${job}/changes?worker=${worker.worker_id}#feedback`}><${Icon} name="i-comment" />${asks ? "Answer" : "Give feedback"}</a>`}
    ${worker.can?.includes("retry") && html`<button class="btn" onClick=${then(retryWorker)}><${Icon} name="i-retry" />Retry</button>`}</div>`;
}

const used = (usage) => (usage.input_tokens || 0) + (usage.output_tokens || 0) + (usage.cache_write_tokens || 0);
// The sum of the attempts' times; without attempts, as for a question, from start to end.
const elapsed = (worker) => (worker.ended_at ? worker.seconds : worker.started_at && worker.status !== "pending" ? total(worker) : undefined);
const total = ({ attempts, started_at: from }) => (attempts.length ? attempts : [{ started_at: from }])
  .reduce((sum, each) => sum + (each.ended_at ? each.seconds : (Date.now() - Date.parse(each.started_at)) / 1000), 0);

function Head({ job, worker, tab, refresh }) {
  useTick(!worker.ended_at && Boolean(worker.started_at) && worker.status !== "pending");
  const asks = worker.agent === PERSON && worker.status === "waiting";
  const stats = worker.agent === PERSON ? [["Time", seconds(elapsed(worker))]] : [["Agent", html`${worker.agent}${worker.model && html` <small>${worker.model}</small>`}`], ["Attempt", worker.attempts.length || "–"],
    ["Time", seconds(elapsed(worker))], ["Tokens", tokens(used(worker.usage))], ["Cost", money(worker.usage.cost_usd)]];
  return html`<section class="jobhead" aria-label="This worker"><div><nav class="crumb" aria-label="Where you are"><a href="/">Jobs</a><${Icon} name="i-right" small=${true} />
      <a class="mono" href=${`/jobs/${job}`}>${job}</a><${Icon} name="i-right" small=${true} /><span class="mono">${worker.worker_id}</span></nav>
    <div class="line"><div><h1>${plain(worker.title || worker.task_id)}</h1></div><${Actions} job=${job} worker=${worker} refresh=${refresh} /></div>
    <div class="vitals one"><${State} state=${asks ? "needs" : worker.status} pill=${true}>${asks ? "waits for you" : worker.status.replace("recursive_", "")}<//>
      <dl class="n">${stats.map(([name, value]) => html`<div class="stat" key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl></div>
    ${worker.reason && worker.agent !== PERSON && html`<p class="small soft reason">${plain(worker.reason)}${worker.status === "waiting"
      && worker.child_job_ids.map((child) => html` <a class="link mono" key=${child} href=${`/jobs/${child}`}>${child}</a>`)}</p>`}
    <${Tabs} label="Parts of this worker" current=${tab}>${worker.agent !== PERSON && TABS.filter(([name]) => !name || worker.agent !== SHELL).map(([name, word, icon]) => html`<a key=${name} href=${name ? `?tab=${name}` : location.pathname} aria-current=${tab === name ? "page" : undefined}><${Icon} name=${icon} />${word}</a>`)}
      ${worker.files_created.length > 0 && html`<a href=${`/jobs/${job}/changes?worker=${worker.worker_id}`}><${Icon} name="i-diff" />Changes<span class="n">${worker.files_created.length}</span></a>`}
      ${worker.chosen !== undefined && html`<a href=${`/jobs/${job}/t/${encodeURIComponent(worker.task_id)}`}><${Icon} name="i-branch" />Candidates</a>`}<//></div></section>`;
}

export function Page({ job, worker: id }) {
  const tab = new URLSearchParams(useStore(place).search).get("tab") || "";
  const address = path("jobs", job, "workers", id);
  const { data: worker, error, refresh } = useQuery(address, {}, { every: LIVE_MS });
  useKeys({ l: () => note({ tab: "" }) });
  useEffect(refresh, [tab]);
  if (error && !worker) return html`<main id="main"><h1 class="sr">Worker ${id}</h1><section class="card"><${Failure} error=${error} back=${`/jobs/${job}`} /></section></main>`;
  if (!worker) return html`<${Arriving} trail=${[[job, `/jobs/${job}`]]} name=${id} title=${id} what="the worker" />`;
  const running = !worker.ended_at && Boolean(worker.started_at);
  const main = worker.agent === PERSON ? () => html`<${Question} key=${worker.status} job=${worker.job_id} worker=${worker} refresh=${refresh} />` : { steps: () => html`<${Steps} job=${job} id=${id} running=${running} />`, prompt: () => html`<${Prompt} url=${worker.prompt_url} />` }[tab]
    || (() => html`<${Rejections} worker=${worker} /><${Log} key=${`${id}${Boolean(worker.started_at)}`} job=${worker.job_id} id=${id} worker=${worker} />`);
  return html`<${Title} text=${`${worker.worker_id} · ${worker.status}`} /><${Head} job=${job} worker=${worker} tab=${tab} refresh=${refresh} />
    <main id="main"><div class="cols arrives"><div class="stack">${main()}</div><aside class="stack"><${Attempts} worker=${worker} /><${Gates} worker=${worker} />
      <${Files} job=${job} worker=${worker} />${worker.agent !== PERSON && html`<${Place} job=${job} worker=${worker} />`}<${Checkpoints} job=${worker.job_id} worker=${worker} refresh=${refresh} /></aside></div></main>`;
}
