// The column next to the log: attempts, gates, checkpoints, paths, and files of the worker.
import { path } from "../core/api.js";
import { html } from "../core/html.js";
import { useQuery } from "../core/query.js";
import { mayChange } from "../core/session.js";
import { act } from "../parts/actions.js";
import { ask } from "../parts/dialogs.js";
import { post } from "../core/api.js";
import { Icon } from "../parts/icon.js";
import { attemptState, State } from "../parts/state.js";
import { many, plain, seconds } from "../text/format.js";

// The result of a gate that did not pass, in one line.
function shortcoming({ outcome, note, failures }) {
  if (outcome === "passed") return "";
  if (outcome === "failed") return failures[0] || note || "failed";
  return `did not run${note && `: ${note}`}`;
}

const OUTCOMES = { passed: "success", failed: "failed", did_not_run: "skipped" };

export function Attempts({ worker }) {
  if (!worker.attempts.length) return null;
  const last = worker.attempts.at(-1).number;
  return html`<section class="card"><header><h2>Attempts</h2></header><ul class="list">${[...worker.attempts].reverse().map((attempt) => html`<li key=${attempt.number}>
    <${State} state=${attemptState(attempt, worker.status, attempt.number === last)}>${attempt.number}<//><span class="grow small soft">${plain(attempt.reason || (attempt.failure?.reason ?? ""))}</span>
    <span class="small muted num">${seconds(attempt.seconds)}</span></li>`)}</ul></section>`;
}

export function Gates({ worker }) {
  if (!worker.gates.length) return null;
  return html`<section class="card"><header><h2>Gates</h2><span class="small muted">of the latest attempt</span></header><ul class="list">${worker.gates.map((gate) => html`<li key=${gate.name}>
    <${State} state=${OUTCOMES[gate.outcome]}>${plain(gate.name)}<//><span class="grow small soft">${plain(shortcoming(gate))}</span>
    <span class="small muted num">${seconds(gate.seconds)}</span></li>`)}</ul></section>`;
}

// The output of the gates that rejected the worker's change. It comes before the log, which does not have it.
export const Rejections = ({ worker }) => worker.gates.filter((gate) => worker.ended_at && gate.outcome === "failed" && gate.blocks).map(({ name, output, failures }) => html`
  <section class="card" key=${name} aria-label=${`Gate ${name} failed`}><header><span class="st st-failed"><${Icon} name="s-failed" /></span><h2 class="grow">Gate ${plain(name)} failed</h2></header>
    <div class="pad"><pre class="prompt part" tabindex="0">${plain(output || failures.join("\n"))}</pre></div></section>`);

async function rollBack(job, worker, checkpoint) {
  const yes = await ask({ title: "Roll back", text: `Restores the files and the branch of ${worker} to checkpoint ${checkpoint}. The present state is saved as another checkpoint.`, yes: "Roll back", danger: true });
  return yes && act(() => post(path("jobs", job, "workers", worker, "rollback"), { checkpoint }), "Rolled back");
}

export function Checkpoints({ job, worker, refresh }) {
  const { data } = useQuery(path("jobs", job, "checkpoints"));
  const mine = (data?.checkpoints || []).filter((each) => each.worker_id === worker.worker_id);
  if (!mine.length) return null;
  const may = mayChange() && worker.can?.includes("rollback");
  return html`<section class="card"><header><h2>Checkpoints</h2></header><ul class="list">${mine.map((each) => html`<li key=${each.name}><span class="mono small">${plain(each.name)}</span>
    <span class="grow small soft">${each.files_changed ? many(each.files_changed, "file") : "no change"}${each.gates ? ` · ${plain(each.gates)}` : ""}</span>
    ${each.current ? html`<span class="chip">now</span>` : may && html`<button class="btn sm" onClick=${async () => { await rollBack(job, worker.worker_id, each.name); refresh(); }}>Roll back</button>`}</li>`)}</ul></section>`;
}

export function Place({ job, worker }) {
  const facts = [
    ["Branch", worker.commit && `orchestrator/${worker.root_job_id || job}/${worker.worker_id}`], ["Commit", worker.commit?.slice(0, 12)],
    ["Locks", worker.locks.map((lock) => lock.name).join(", ")], ["Exit", worker.exit_code === undefined ? "" : String(worker.exit_code)], ["Directory", worker.workspace],
  ].filter(([, value]) => value);
  return html`<section class="card"><header><h2>Location</h2></header><div class="pad"><dl class="facts">${facts.map(([name, value]) => html`<dt key=${name}>${name}</dt><dd class="mono">${plain(value)}</dd>`)}
    ${worker.child_job_ids.map((child) => html`<dt key=${child}>Child job</dt><dd><a class="link mono" href=${`/jobs/${child}`}>${child}</a></dd>`)}
    ${worker.leftover_processes.map((left) => html`<dt key=${left.pid}>Leftover process</dt><dd class="mono">${left.pid} ${plain(left.command)}</dd>`)}</dl></div></section>`;
}

export function Files({ job, worker }) {
  if (!worker.files_created.length) return null;
  return html`<section class="card"><header><h2>Files</h2><a class="link small" href=${`/jobs/${job}/changes?worker=${worker.worker_id}`}>Changes</a></header>
    <ul class="list">${worker.files_created.slice(0, 12).map((file) => html`<li key=${file}><${Icon} name="i-file" /><span class="grow mono small cut" title=${file}>${plain(file)}</span></li>`)}</ul>
    ${worker.files_created.length > 12 && html`<p class="pad small muted">and ${worker.files_created.length - 12} more</p>`}</section>`;
}
