// Needs of jobs, with one primary and one other action for each kind of need.
import { html, useEffect, useMemo, useRef, useState } from "../core/html.js";
import { throttled } from "../core/live.js";
import { useQuery } from "../core/query.js";
import { place } from "../core/router.js";
import { mayChange } from "../core/session.js";
import { useStore } from "../core/store.js";
import { cancelJob, raiseLimits, rejectPlan } from "../parts/actions.js";
import { Icon } from "../parts/icon.js";
import { ago, many, plain } from "../text/format.js";
import { answerQuestion } from "../worker/question.js";

// Limits the refreshes, because a job with thousands of workers has many events.
const REFRESH_MS = 500;
// Maximum number of needs at first, so that the list of jobs is visible; a button shows all.
const MOST = 5;
// Maximum time for which the content of a page waits for the needs.
const AWAITED_MS = 2000;

const worker = (need) => `/jobs/${need.root_job_id || need.job_id}/w/${need.worker_id}`;
const job = (need) => `/jobs/${need.job_id}`;
// The view Changes has the field for feedback, also for a worker that changed nothing.
const feedback = (need) => `/jobs/${need.root_job_id || need.job_id}/changes?worker=${need.worker_id}#feedback`;

const answer = (need, word) => answerQuestion(need.job_id, need.task_id, word, plain(need.text));

// Each kind: icon, text, address, the primary action (a link or a call), and the other action.
// `isShown`: the page at the address shows the need. `hasRequest`: the need's text contains the request.
const KINDS = {
  approval: { icon: "i-check", words: "Approve a plan", isShown: true, hasRequest: true, to: (need) => `${job(need)}/plan`, word: "Review plan", other: ["Reject", (need) => rejectPlan(need.job_id)] },
  question: { icon: "i-comment", words: "A question", to: worker, word: "Approve", call: (need) => () => answer(need, "approve"), other: ["Reject", (need) => answer(need, "reject")] },
  conflict: { icon: "i-conflict", words: "Conflict", isShown: true, to: (need) => `${job(need)}/changes?conflict=${need.worker_id || ""}`, word: "Resolve" },
  promised: { icon: "i-file", words: "Missing files", isShown: true, to: (need) => `${job(need)}/changes?conflict=${need.worker_id || ""}`, word: "Open" },
  asked: { icon: "i-comment", words: "A worker has a question", to: feedback, word: "Answer" },
  feedback: { icon: "i-comment", words: "Work on your comments failed", to: feedback, word: "Open" },
  login: { icon: "i-key", words: "Login failed", to: () => "/agents", word: "How to fix" },
  limit: { icon: "s-paused", words: "Limit reached", hasRequest: true, to: job, word: "Raise the limit", call: (need) => () => raiseLimits(need.job_id), other: ["Cancel the job", (need) => cancelJob(need.job_id)] },
};
const UNKNOWN = { icon: "s-needs", words: "Needs you", to: job, word: "Open" };

function Actions({ need, kind, changed }) {
  if (!mayChange()) return html`<span class="acts"><a class="btn sm" href=${kind.to(need)}>Open</a></span>`;
  const then = (made) => async () => (await made()) && changed();
  return html`<span class="acts">${kind.call
    ? html`<button class="btn primary sm" onClick=${then(kind.call(need))}>${kind.word}</button>`
    : html`<a class="btn primary sm" href=${kind.to(need)}>${kind.word}</a>`}
    ${kind.other && html`<button class="btn sm" onClick=${then(() => kind.other[1](need))}>${kind.other[0]}</button>`}</span>`;
}

function Need({ need, changed, isInJob }) {
  const kind = KINDS[need.kind] || UNKNOWN;
  return html`<li><span class="kind"><${Icon} name=${kind.icon} />${kind.words}</span>
    <span class="what"><a class="strong cut" href=${kind.to(need)} data-row>${plain(need.text)}</a>
      <span class="small muted cut"><span class="mono">${need.job_id}</span>${!kind.hasRequest && !isInJob && ` ${plain(need.request)}`}${need.worker_id && ` · ${need.worker_id}`} · waiting for ${ago(need.since)}</span></span>
    <${Actions} need=${need} kind=${kind} changed=${changed} /></li>`;
}

// The needs of all jobs, read again when `beat` changes. While `awaited` is true, the page shows its content
// later, because the content would move when the needs appear above it. `isReady`: the content has arrived.
export function useNeeds(beat, isReady) {
  const { data, loading, refresh } = useQuery("/api/v1/needs", { page_size: 200 }, { every: 10000 });
  const first = useRef(true);
  const latest = useRef(refresh);
  latest.current = refresh;
  const again = useMemo(() => throttled(() => latest.current(), REFRESH_MS), []);
  useEffect(() => {
    if (first.current) first.current = false;
    else again();
  }, [beat]);
  useEffect(() => again.cancel, []);
  const [late, setLate] = useState(false);
  useEffect(() => {
    if (!isReady) return undefined;
    const timer = setTimeout(() => setLate(true), AWAITED_MS);
    return () => clearTimeout(timer);
  }, [isReady]);
  return { data, awaited: loading && !late, refresh };
}

// The needs of all jobs, or of one job and its descendants. `isHeld`: returns true while a person uses
// the list below, which must not move then; the number at the top of the page is always current. `isActive`: workers run
// while these needs wait.
export function Needs({ needs: { data, refresh }, changed, job, isActive = true, isHeld }) {
  const [whole, showAll] = useState(false);
  const last = useRef(data);
  const { path, search, hash } = useStore(place);
  if (!isHeld?.() || hash === "#needs") last.current = data;
  const all = last.current;
  const isElsewhere = ({ isShown, to }, need) => !isShown || to(need) !== path + search;
  const needs = (all?.needs || []).filter((need) => !job || ((need.root_job_id === job || need.job_id === job) && isElsewhere(KINDS[need.kind] || UNKNOWN, need)));
  const total = job ? needs.length : all?.total;
  if (!total) return null;
  const after = () => { refresh(); changed(); };
  const shown = whole ? needs : needs.slice(0, MOST);
  return html`<section class="needs" id="needs" aria-labelledby="nh"><header><${Icon} name="s-needs" />
    <h2 id="nh">${many(total, "thing needs", "things need")} you</h2>${isActive && html`<span class="small soft hide-s">Everything else continues</span>`}</header>
    <ul>${shown.map((need) => html`<${Need} key=${need.kind + need.job_id + need.worker_id + need.task_id} need=${need} changed=${after} isInJob=${Boolean(job)} />`)}
    ${shown.length < needs.length && html`<li class="more"><button type="button" class="btn sm" onClick=${() => showAll(true)}>Show all ${needs.length}</button></li>`}</ul></section>`;
}
