// The head of a job, equal in all its views: path, request, actions, progress bar, figures.
import { path } from "../core/api.js";
import { html } from "../core/html.js";
import { useKeys } from "../core/keys.js";
import { useQuery } from "../core/query.js";
import { go } from "../core/router.js";
import { isAdmin, mayChange } from "../core/session.js";
import { cancelJob, landJob, pauseJob, raiseLimits, resumeJob, retryJob, undoJob } from "../parts/actions.js";
import { Icon } from "../parts/icon.js";
import { Bar, Legend, countsAsText, Mark, State, total, unfinished } from "../parts/state.js";
import { Tabs } from "../parts/tabs.js";
import { count, cut, many, money, plain, seconds, time } from "../text/format.js";
import { useTick } from "./model.js";

// The views of a job. `key` is the key that opens the view; a view with `icon` has a tab.
const VIEWS = [
  { name: "graph", word: "Graph", icon: "i-graph", key: "1" },
  { name: "table", word: "Table", icon: "i-table", key: "2" },
  { name: "timeline", word: "Timeline", icon: "i-gantt", key: "3" },
  { name: "changes", word: "Changes", icon: "i-diff", key: "4" },
  { name: "report", word: "Report", icon: "i-report", key: "5" },
  { name: "plan", word: "Plan" },
  { name: "events", word: "Events", icon: "i-pulse" },
];

const MOST_REASON = 240;
// The title shows the first line of the request; on a phone, it has room for this number of characters.
const MOST_REQUEST = 150;

function Where({ model, details }) {
  const labels = Object.entries(details?.config?.labels || {}).map(([name, value]) => `${name}: ${value}`);
  const { base, base_branch: branch } = details?.config || {};
  const parent = details?.parent_job_id;
  return html`<nav class="crumb" aria-label="Where you are"><a href="/">Jobs</a><${Icon} name="i-right" small=${true} />
    ${parent && html`<a class="mono" href=${`/jobs/${parent}`}>${parent}</a><${Icon} name="i-right" small=${true} />`}
    <span class="mono">${model.job}</span><span class="hide-s">${base && html` · ${branch || "detached"} at <span class="mono">${base.slice(0, 7)}</span>`}
      ${labels.map((label) => ` · ${plain(label)}`)}${details?.submitted_by && html` · by key <b class="strong">${plain(details.submitted_by)}</b>`}
      ${details?.created_at && ` · ${time(details.created_at)}`}${details?.run > 1 && ` · run ${details.run}`}</span></nav>`;
}

// The number of files that the merged result changes; undefined without a result.
function useChangedFiles(model, details) {
  const hasResult = !model.isActive && ["merged", "in_part"].includes(details?.merge_state) && !details.discarded;
  const { data } = useQuery(hasResult ? path("jobs", model.job, "diff") : null, { stat: 1 });
  return hasResult ? data?.files.length : undefined;
}

const isAwaiting = (details) => Boolean(details?.awaits_approval);

function Actions({ model, details, refresh }) {
  const failed = (model.counts.failed || 0) + (model.counts.timeout || 0) + (model.counts.skipped || 0) + (model.counts.cancelled || 0);
  const then = (call) => async () => { await call(); refresh(); };
  const limited = details?.paused?.cause === "limit";
  const pause = then(() => (limited ? raiseLimits(details.paused.job_id || model.job) : details?.paused ? resumeJob(model.job) : pauseJob(model.job)));
  const cancel = then(() => cancelJob(model.job, unfinished(model.counts)));
  const retry = then(() => retryJob(model.job));
  const repeats = failed > 0 || details?.lacks_promised_files?.length > 0;
  const lacking = model.status === "completed" ? "" : plain(details?.reason) || `${failed} of ${many(total(model.counts), "worker")} did not succeed`;
  const land = then(() => landJob(model.job, lacking));
  const active = model.isActive;
  useKeys({ p: () => active && mayChange() && pause(), c: () => active && mayChange() && cancel(), r: () => !active && repeats && mayChange() && retry() });
  if (!mayChange()) return null;
  const button = (icon, word, call, kind = "") => html`<button class=${`btn ${kind}`} onClick=${call}><${Icon} name=${icon} />${word}</button>`;
  if (active) {
    return html`<div class="acts">${limited ? button("i-play", "Raise the limit", pause) : details?.paused ? button("i-play", "Resume", pause, "primary") : button("i-pause", "Pause", pause)}${button("i-stop", "Cancel", cancel, "danger")}</div>`;
  }
  const merged = ["merged", "in_part"].includes(details?.merge_state) && details.depth === 0;
  const landed = details?.landed?.length > 0;
  // A run after the landing may have changed the result.
  const isLatest = landed && details.landed.at(-1).at > details.ended_at;
  return html`<div class="acts">${merged && !isLatest && isAdmin() && button("i-land", "Land", land, landed || lacking ? "" : "primary")}
    ${repeats && button("i-retry", model.status === "cancelled" || !failed ? "Retry" : "Retry failed", retry)}
    ${landed && isAdmin() && button("i-undo", "Undo the landing", then(() => undoJob(model.job)), "danger")}</div>`;
}

// The first failed worker, with its reason. A worker that failed because of its child job comes after the child job's workers.
function Cause({ model, failed }) {
  const first = failed.find((i) => !model.children.get(i)?.some((job) => model.members[job].some((k) => failed.includes(k)))) ?? failed[0];
  const others = failed.length - 1;
  return html`<p class="reason cause"><${Mark} state=${model.state[first]} /><span><a class="link" href=${`/jobs/${model.job}/w/${model.id[first]}`}>${plain(model.name(first))}</a>: ${model.reason[first] ? cut(plain(model.reason[first]), MOST_REASON) : model.state[first]}${others > 0 && html` · <a class="link" href=${`${viewPath(model.job, "table")}?status=attention`}>${count(others)} more failed</a>`}</span></p>`;
}

// The cost of the workers is live. The server's sum also has the planner and the reviewers.
function sum(model, known) {
  let all = 0;
  for (let i = 0; i < model.n; i += 1) all += model.cost[i] || 0;
  return all ? Math.max(all, known ?? 0) : known;
}

// The duration of the job's latest run, in seconds.
function took(model, details) {
  if (!model.isActive && details?.seconds !== undefined) return details.seconds;
  if (model.isActive && model.status !== "planning" && details?.started_at) return model.now() - (Date.parse(details.started_at) / 1000 - model.at);
  let [first, last] = [Infinity, 0];
  for (let i = 0; i < model.n; i += 1) {
    if (model.t0[i] === null) continue;
    first = Math.min(first, model.t0[i]);
    last = Math.max(last, model.t1[i] ?? 0);
  }
  if (first === Infinity) return undefined;
  return (model.isActive ? model.now() : last) - first;
}

function Figures({ model, details }) {
  const limit = details?.config?.max_cost_usd;
  const { cost_usd: known, cost_partial: partial } = details?.usage || {};
  return html`<dl class="n"><div class="stat"><dt>Cost</dt><dd>${money(sum(model, known), partial ? "unknown" : "–")}${partial && known !== undefined && html` <small>partly unknown</small>`}${limit !== undefined && html` <small>of ${money(limit)}</small>`}</dd></div>
    <div class="stat"><dt>Time</dt><dd>${seconds(took(model, details))}</dd></div>
    ${model.isActive && html`<div class="stat"><dt>Slots</dt><dd>${count(model.counts.running || 0)}${details?.config && html` <small>of ${details.config.max_workers}</small>`}</dd></div>`}</dl>`;
}

function Views({ job, view, counts }) {
  useKeys(Object.fromEntries(VIEWS.filter((each) => each.key).map((each) => [each.key, () => go(viewPath(job, each.name))])));
  return html`<${Tabs} label="Views of this job" current=${view}>${VIEWS.filter((each) => each.icon).map(({ name, word, icon }) => html`<a key=${name} href=${viewPath(job, name)}
    aria-current=${view === name ? "page" : undefined}><${Icon} name=${icon} />${word}${counts[name] ? html`<span class="n">${count(counts[name])}</span>` : null}</a>`)}<//>`;
}

const viewPath = (job, view) => (view === "graph" ? `/jobs/${job}` : `/jobs/${job}/${view}`);

export function Head({ model, details, view, refresh }) {
  useTick(model.isActive);
  const waits = model.isActive && !model.counts.running && details?.needs?.length > 0;
  const isPaused = details?.paused && details.paused.cause !== "limit" && model.isActive;
  const status = isPaused ? "paused" : isAwaiting(details) || waits ? "needs" : model.status;
  const files = useChangedFiles(model, details);
  const request = details?.request || model.jobs[0].request;
  const failed = model.isActive ? [] : [...Array(model.n).keys()].filter((i) => ["failed", "timeout"].includes(model.state[i]));
  // The state of a waiting plan is in the pill. Other remarks, such as a failure of the planner, are shown.
  const reason = isAwaiting(details) ? details.remarks?.filter((each) => each !== "waiting for approval").join("; ") : failed.length ? details?.remarks?.join("; ") : details?.reason;
  return html`<section class="jobhead" aria-label="This job"><div><${Where} model=${model} details=${details} />
    <div class="line"><div><h1>${plain(request.split("\n")[0]) || model.job}</h1></div><${Actions} model=${model} details=${details} refresh=${refresh} /></div>
    ${(request.trim().includes("\n") || request.length > MOST_REQUEST) && html`<details class="small request"><summary class="muted">Whole request</summary><p class="prose-text soft">${plain(request)}</p></details>`}
    <div class="vitals"><${State} state=${status} pill=${true}>${status !== "needs" ? status : isAwaiting(details) ? "waits for approval" : "waits for you"}<//>
      <div class="bars"><${Bar} counts=${model.counts} tall=${true} label=${countsAsText(model.counts)} />
        <${Legend} counts=${model.counts} href=${(state) => `${viewPath(model.job, "table")}?status=${state}`} /></div>
      <${Figures} model=${model} details=${details} /></div>
    ${failed.length > 0 && html`<${Cause} model=${model} failed=${failed} />`}
    ${reason && html`<p class="small soft reason">${plain(reason)}</p>`}
    ${details?.paused?.until && model.isActive && html`<p class="small soft reason">Without an answer, the job ends at ${time(details.paused.until)}</p>`}
    ${details?.landed?.map(({ branch, at }) => html`<p class="small soft reason" key=${branch}>Landed on ${plain(branch)} · ${time(at)}</p>`)}
    <${Views} job=${model.job} view=${view} counts=${{ table: total(model.counts), changes: files }} /></div></section>`;
}
