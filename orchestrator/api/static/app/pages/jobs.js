// The page of all jobs: needs, then running jobs, then ended jobs by day.
import { get } from "../core/api.js";
import { html, useEffect, useRef, useState } from "../core/html.js";
import { follow, throttled } from "../core/live.js";
import { useQuery } from "../core/query.js";
import { note, place } from "../core/router.js";
import { mayChange } from "../core/session.js";
import { useStore } from "../core/store.js";
import { cancelJob, pauseJob, raiseLimits, resumeJob, retryJob } from "../parts/actions.js";
import { Empty, Failure, Loading } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { Bar, drawn, ENDED, Mark, total, unfinished } from "../parts/state.js";
import { Title } from "../parts/title.js";
import { count, dayOf, many, money, plain, seconds } from "../text/format.js";
import { Needs, useNeeds } from "./needs.js";

const PAGE_SIZE = 50;
const REFRESH_MS = 1000;
const FILTERS = { "": "All", running: "Running", failed: "Failed", needs: "Waiting" };
const STATUSES = {
  running: ["running", "planning", "pending"], failed: ["failed", "partial"], ended: ["completed", "partial", "failed", "cancelled"],
};
const NEEDS = ["approval", "question", "conflict", "promised", "asked", "feedback", "login", "limit", "pull_request"];

const counts = (job) => job.tree_counts || job.counts || {};
// Workers of the job itself that a retry runs again.
const unsuccessful = ({ counts: own = {} }) => (own.failed || 0) + (own.timeout || 0) + (own.cancelled || 0) + (own.skipped || 0);
const isActive = (job) => !ENDED.has(job.status);
const waits = (job) => isActive(job) && job.needs?.length > 0 && !counts(job).running;
// A job that is paused at a limit waits for a person; any other pause was a person's decision.
const stateOf = (job) => (job.paused && job.paused.cause !== "limit" ? "paused" : waits(job) ? "needs" : job.status);
// The wait for the approval of a plan does not count.
const elapsed = (job) => (job.status === "planning" ? undefined : job.seconds ?? (job.started_at ? (Date.now() - Date.parse(job.started_at)) / 1000 : undefined));

function progress(job) {
  const all = counts(job);
  const bad = (all.failed || 0) + (all.timeout || 0);
  return `${count(all.success || 0)} of ${count(total(all))}${bad ? ` · ${count(bad)} failed` : ""}`;
}

function Meta({ job }) {
  const labels = Object.entries(job.labels || {}).map(([name, value]) => `${name}: ${value}`);
  const failure = job.first_failure;
  const why = plain(failure ? `${failure.worker_id}: ${failure.reason || "failed"}` : job.reason);
  return html`<span class="meta"><span class=${`fg-${drawn(stateOf(job))}`}>${stateOf(job) === "needs" ? "waits for you" : stateOf(job)}</span>
    <span class="mono">${job.job_id}</span>${job.run > 1 && html`<span>run ${job.run}</span>`}
    ${labels.slice(0, 3).map((label) => html`<span key=${label}>${plain(label)}</span>`)}
    ${why && html`<span class="cut" title=${plain(job.reason)}>${why}</span>`}</span>`;
}

function Actions({ job, changed }) {
  if (!mayChange()) return html`<div class="acts"></div>`;
  const button = (icon, words, call) => html`<button class="btn ghost icon sm" aria-label=${`${words} ${job.job_id}`}
    onClick=${async () => (await call()) && changed()}><${Icon} name=${icon} /></button>`;
  const word = (icon, words, call) => html`<button class="btn ghost sm" onClick=${async () => (await call()) && changed()}
    aria-label=${`${words} ${job.job_id}`}><${Icon} name=${icon} />${words}</button>`;
  if (isActive(job)) {
    return html`<div class="acts">${job.paused?.cause === "limit" ? button("i-play", "Raise the limit of", () => raiseLimits(job.paused.job_id || job.job_id))
      : job.paused ? button("i-play", "Resume", () => resumeJob(job.job_id)) : button("i-pause", "Pause", () => pauseJob(job.job_id))}
      ${button("i-stop", "Cancel", () => cancelJob(job.job_id, unfinished(counts(job))))}</div>`;
  }
  if (["failed", "cancelled"].includes(job.status) || (job.status === "partial" && unsuccessful(job))) return html`<div class="acts">${word("i-retry", "Retry", () => retryJob(job.job_id))}</div>`;
  return html`<div class="acts"></div>`;
}

function Row({ job, changed }) {
  const all = counts(job);
  return html`<li><div class="job-l"><${Mark} state=${stateOf(job)} />
    <div class="name"><b><a href=${`/jobs/${job.job_id}`} data-row>${plain(job.request) || "(no request)"}</a></b><${Meta} job=${job} /></div>
    <div class="prog"><${Bar} counts=${all} label=${progress(job)} /><span class="num">${progress(job)}</span></div>
    <div class="cost r num">${money(job.usage?.cost_usd, job.usage?.cost_partial ? "unknown" : "–")}${job.usage?.cost_partial && job.usage.cost_usd !== undefined && html`<span class="small muted hide-s"><br />partly unknown</span>`}</div>
    <div class="time r num soft">${seconds(elapsed(job))}</div><${Actions} job=${job} changed=${changed} /></div></li>`;
}

function grouped(jobs) {
  const groups = [{ day: "", jobs: jobs.filter(isActive) }];
  for (const job of jobs.filter((each) => !isActive(each))) {
    const day = dayOf(job.ended_at || job.created_at);
    if (groups.at(-1).day !== day) groups.push({ day, jobs: [] });
    groups.at(-1).jobs.push(job);
  }
  return groups.filter((group) => group.jobs.length);
}

// While the pointer or the focus is in the list, rows do not move: new jobs wait for a click.
function useStill(jobs, held) {
  const shown = useRef([]);
  const now = new Map((jobs || []).map((job) => [job.job_id, job]));
  const known = new Set(shown.current.map((job) => job.job_id));
  const fresh = [...now.keys()].filter((id) => !known.has(id));
  const kept = shown.current.filter((job) => now.has(job.job_id));
  shown.current = held && kept.length ? kept.map((job) => now.get(job.job_id)) : [...now.values()];
  const waiting = held && kept.length ? fresh.length : 0;
  return { jobs: shown.current, waiting };
}

function List({ jobs, changed, held }) {
  return html`<ul class="jobs" ref=${held} onMouseLeave=${changed}><li class="head hide-s" aria-hidden="true"><div class="job-l head"><span></span><span>Job</span><span>Workers</span>
      <span class="r">Cost</span><span class="r">Time</span><span></span></div></li>
    ${grouped(jobs).map(({ day, jobs: each }) => html`${day && html`<li class="day" key=${day}>${day}</li>`}
      ${each.map((job) => html`<${Row} key=${job.job_id} job=${job} changed=${changed} />`)}`)}</ul>`;
}

function Tools({ filter, q }) {
  const [typed, type] = useState(q);
  const noted = useRef(q);
  useEffect(() => {
    if (typed === noted.current) return undefined;
    const timer = setTimeout(() => { noted.current = typed; note({ q: typed, page: "" }); }, 200);
    return () => clearTimeout(timer);
  }, [typed]);
  // A link or the back button has changed the address.
  useEffect(() => {
    if (q === noted.current) return;
    noted.current = q;
    type(q);
  }, [q]);
  return html`<div class="tools"><label class="find"><span class="sr">Search jobs</span><${Icon} name="i-search" />
      <input class="in" type="search" placeholder="Search requests and ids" value=${typed} onInput=${(event) => type(event.target.value)} /><kbd class="hide-s">/</kbd></label>
    <div class="seg-c" role="group" aria-label="Which jobs">${Object.entries(FILTERS).map(([name, word]) => html`<button key=${name} type="button"
      aria-pressed=${String(filter === name)} onClick=${() => note({ show: name, page: "" })}>${word}</button>`)}</div></div>`;
}

// The first page has all running jobs, whatever their age, and then the latest ended jobs.
async function load(asked, { page, filter }, signal) {
  const read = (more) => get("/api/v1/jobs", { ...asked, ...more }, { signal });
  if (filter) return read(filter === "needs" ? { needs: NEEDS } : { status: STATUSES[filter] });
  const [active, ended] = await Promise.all([
    page === 1 ? read({ status: STATUSES.running, page_size: 200 }) : { jobs: [], total: 0 }, read({ status: STATUSES.ended }),
  ]);
  return { jobs: [...active.jobs, ...ended.jobs], total: active.total + ended.total, pages: Math.ceil(ended.total / PAGE_SIZE) };
}

function useJobs() {
  const { search } = useStore(place);
  const given = new URLSearchParams(search);
  const [filter, q, page] = [given.get("show") || "", given.get("q") || "", Number(given.get("page")) || 1];
  const asked = { depth: 0, page, page_size: PAGE_SIZE, q, label: given.getAll("label") };
  return { filter, q, page, ...useQuery("/api/v1/jobs", { ...asked, filter }, { every: 15000, load: (signal) => load(asked, { page, filter }, signal) }) };
}

// A number that grows with each change that the server reports.
function useBeat(refresh) {
  const [beat, set] = useState(0);
  const latest = useRef(refresh);
  latest.current = refresh;
  useEffect(() => {
    const reload = throttled(() => { latest.current(); set((n) => n + 1); }, REFRESH_MS);
    const stop = follow("/api/v1/events", { onEvent: reload });
    return () => { stop(); reload.cancel(); };
  }, []);
  return beat;
}

function Body({ list, isHeld, data, error, loading, awaited, filter, q, page, refresh }) {
  const { jobs, waiting } = useStill(data?.jobs, isHeld());
  if (error && !data) return html`<${Failure} error=${error} />`;
  if (loading || awaited) return html`<${Loading} what=${loading ? "the list of jobs" : "what needs you"} />`;
  const narrowed = filter || q;
  if (!jobs.length) {
    return html`<section class="card">${narrowed
      ? html`<${Empty} icon="i-search" title="No job matches" acts=${html`<button class="btn" onClick=${() => note({ q: "", show: "" })}>Show all</button>`}>Search for other words, or show all jobs.<//>`
      : html`<${Empty} title="No jobs yet" acts=${mayChange() && html`<a class="btn primary" href="/new">New job</a>`}>A job is a request that workers run, each in its own directory.<//>`}</section>`;
  }
  const pages = data.pages ?? Math.ceil(data.total / PAGE_SIZE);
  return html`${waiting > 0 && html`<p class="fresh"><button class="btn sm" onClick=${() => { list.current.querySelector(":focus")?.blur(); refresh(); }}>${waiting} new</button></p>`}
    <section class="card" aria-label="Jobs"><${List} jobs=${jobs} changed=${refresh} held=${list} /></section>
    <p class="foot"><span>${count(jobs.length)} of ${many(data.total, "job")}</span>
      ${pages > 1 && html`<span><button class="btn sm" disabled=${page <= 1} onClick=${() => note({ page: page - 1 > 1 ? String(page - 1) : "" })}>Newer</button> page ${page} of ${pages}${" "}
        <button class="btn sm" disabled=${page >= pages} onClick=${() => note({ page: String(page + 1) })}>Older</button></span>`}
      <span class="hide-s"><kbd>j</kbd> <kbd>k</kbd> move · <kbd>Enter</kbd> open · <kbd>?</kbd> all keys</span></p>`;
}

export function Jobs() {
  const jobs = useJobs();
  const needs = useNeeds(useBeat(jobs.refresh), !jobs.loading);
  const list = useRef(null);
  // The needs are above the list, which must not move when they appear.
  const awaited = jobs.loading || needs.awaited;
  const isHeld = () => Boolean(list.current && (list.current.matches(":hover") || list.current.contains(document.activeElement)));
  return html`<main id="main"><${Title} text="Jobs" />${!awaited && html`<${Needs} needs=${needs} changed=${jobs.refresh} isHeld=${isHeld} />`}
    ${awaited ? html`<h1 class="sr">Jobs</h1>` : html`<div class="page-h"><h1>Jobs</h1>${mayChange() && html`<a class="btn primary" href="/new"><${Icon} name="i-plus" />New job<kbd class="hide-s">n</kbd></a>`}</div>
      <${Tools} filter=${jobs.filter} q=${jobs.q} />`}
    <${Body} list=${list} isHeld=${isHeld} ...${jobs} awaited=${needs.awaited} /></main>`;
}
