// The page of a task: two of its candidates in columns, the reason of the choice, and a button to
// change the choice.
import { path, post } from "../core/api.js";
import { html, useState } from "../core/html.js";
import { useQuery } from "../core/query.js";
import { mayChange } from "../core/session.js";
import { act } from "../parts/actions.js";
import { ask } from "../parts/dialogs.js";
import { Arriving, Empty, Failure } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { State } from "../parts/state.js";
import { Title } from "../parts/title.js";
import { FileDiff } from "../changes/file.js";
import { many, money, plain, seconds } from "../text/format.js";

const DECIDED = {
  success: "success", gates: "gates", base_tests: "tests", new_tests: "new tests", lint: "lint", review: "review",
  size: "size", cost: "cost", time: "time", order: "order", person: "a person",
};

const least = (values) => Math.min(...values.filter((each) => each !== undefined && each !== null));
const better = (value, all, pick = least) => (value !== undefined && value !== null && all.length > 1 && value === pick(all) ? "better" : "");
const most = (values) => Math.max(...values.filter((each) => each !== undefined && each !== null));
const changed = (each) => (each.lines_added ?? 0) + (each.lines_removed ?? 0);

function Gates({ each }) {
  if (!each.gates_passed && !each.gates_failed.length) return html`<span class="soft">none</span>`;
  return html`${each.gates_passed > 0 && html`<${State} state="success">${each.gates_passed} passed<//>`}
    ${each.gates_failed.map((name) => html`<${State} key=${name} state="failed">${plain(name)}<//>`)}`;
}

const tests = (each) => each.tests ?? each.base_tests;

function rows(all) {
  const of = (read) => all.map(read);
  return [
    ["success", "Ended", (each) => html`<${State} state=${each.status} />`],
    ["gates", "Gates", (each) => html`<${Gates} each=${each} />`],
    ["base_tests", "Tests", (each) => html`<span class=${`num ${better(tests(each), of(tests), most)}`}>${tests(each) === undefined ? "–" : `${tests(each)} pass`}</span>`],
    ["new_tests", "New tests", (each) => html`<span class="num">${each.new_tests ? `${each.new_tests_counted} of ${each.new_tests} count` : "–"}</span>`],
    ["review", "Review", (each) => html`<span>${each.review ? `rank ${each.review}` : "–"} ${each.remark && html`<span class="small soft">${plain(each.remark)}</span>`}</span>`],
    ["size", "Change", (each) => html`<span class=${`num ${better(changed(each), of(changed))}`}>${each.files === undefined ? "–" : many(each.files, "file")}</span>
      <span class="pm"><span class="p">+${each.lines_added ?? 0}</span> <span class="m">−${each.lines_removed ?? 0}</span></span>`],
    ["cost", "Cost", (each) => html`<span class=${`num ${better(each.cost_usd, of((one) => one.cost_usd))}`}>${money(each.cost_usd, "unknown")}</span>`],
    ["time", "Time", (each) => html`<span class=${`num ${better(each.seconds, of((one) => one.seconds))}`}>${seconds(each.seconds)}</span>`],
  ];
}

function useChoice(job, task, refresh) {
  const [busy, set] = useState(false);
  const choose = (worker) => async () => {
    const text = `The result gets the changes of ${worker} instead of the changes of the present choice. The changes of all candidates stay on their branches.`;
    const reason = await ask({ title: `Choose ${worker}`, text, field: "Reason (optional)", yes: "Choose this candidate", no: "Not yet" });
    if (reason === null) return;
    set(true);
    await act(() => post(path("jobs", job, "tasks", task, "choice"), { worker_id: worker, ...(reason ? { reason } : {}) }), `${worker} is chosen`);
    set(false);
    refresh();
  };
  return { busy, choose };
}

function Who({ each, chosen, choice, root }) {
  const wins = each.worker_id === chosen;
  const changes = html`<a class="btn sm" href=${`/jobs/${root}/changes?worker=${each.worker_id}`}><${Icon} name="i-diff" />Changes</a>
    <a class="btn sm" href=${`/jobs/${root}/w/${each.worker_id}`}><${Icon} name="i-log" />Log</a>`;
  return html`<div class=${wins ? "win" : ""}>${!wins && mayChange() && ["success", "recursive_success"].includes(each.status)
    && html`<button type="button" class="btn sm primary" disabled=${choice.busy} onClick=${choice.choose(each.worker_id)}>Choose this candidate</button>`}${changes}</div>`;
}

function Head({ each, chosen, why }) {
  const wins = each.worker_id === chosen;
  return html`<div class=${`who ${wins ? "win" : ""}`}>${wins ? html`<${State} state="success">chosen<//>` : html`<span class="small muted">${plain(each.why || why)}</span>`}
    <h2>${each.worker_id} · ${plain(each.agent)}</h2><span class="small soft">${plain(each.reason)}</span></div>`;
}

function Pair({ given, two, choice }) {
  const { chosen, by } = given;
  const mark = (each) => (each.worker_id === chosen ? "win" : "");
  return html`<section class="card"><div class="vs"><div class="k1"></div>${two.map((each) => html`<${Head} key=${each.worker_id} each=${each} chosen=${chosen} why=${given.why} />`)}
    ${rows(two).map(([name, word, cell]) => html`<div class="k1" key=${name}>${word} ${by === name && html`<span class="chip">decides</span>`}</div>
      ${two.map((each) => html`<div key=${`${name} ${each.worker_id}`} class=${`${mark(each)} ${by === name && mark(each) ? "by-this" : ""}`}>${cell(each)}</div>`)}`)}
    <div class="k1"></div>${two.map((each) => html`<${Who} key=${each.worker_id} each=${each} chosen=${chosen} choice=${choice} root=${given.job_id} />`)}</div></section>`;
}

function Between({ job, from, to }) {
  const { data, error } = useQuery(path("jobs", job, "diff"), { worker: to, against: from });
  if (error || !data?.files.length) return null;
  return html`<h2>From ${from} to ${to}</h2>${data.files.map((file) => html`<${FileDiff} key=${file.path} file=${file} known=${file} folded=${file.binary} viewed=${false} split=${false} remarks=${null} />`)}`;
}

export function Page({ job, task }) {
  const { data, error, loading, refresh } = useQuery(path("jobs", job, "tasks", task, "candidates"), {}, { every: 5000 });
  const [picked, pick] = useState("");
  const choice = useChoice(job, task, refresh);
  if (error) return html`<main id="main"><h1 class="sr">Task ${task}</h1><${Failure} error=${error} back=${`/jobs/${job}`} /></main>`;
  if (loading) return html`<${Arriving} trail=${[[job, `/jobs/${job}`]]} name=${plain(task)} title=${plain(task)} what="the candidates" />`;
  const { candidates, chosen } = data;
  const best = candidates.find((each) => each.worker_id === chosen) || candidates[0];
  const others = candidates.filter((each) => each !== best);
  const other = others.find((each) => each.worker_id === picked) || others[0];
  return html`<main id="main" class="narrow"><${Title} text=${`Candidates of ${task}`} />
    <nav class="crumb" aria-label="Where you are"><a href="/">Jobs</a><${Icon} name="i-right" small /><a class="mono" href=${`/jobs/${job}`}>${job}</a><${Icon} name="i-right" small /><span class="mono">${plain(task)}</span></nav>
    <div class="page-h"><h1>${plain(data.title || task)}: ${many(candidates.length, "candidate")}</h1>${data.by && html`<span class="chip line">decided by ${DECIDED[data.by] || data.by}</span>`}</div>
    <div class="stack">${chosen ? html`<div class="note good"><${Icon} name="s-success" /><p class="grow"><b class="strong">${chosen} is chosen.</b> ${plain(data.why)}</p></div>`
      : html`<div class="note info"><${Icon} name="s-running" /><p class="grow">No candidate is chosen yet: all candidates must have ended, and one must have succeeded.</p></div>`}
    ${others.length > 1 && html`<label class="field"><span class="lab">Compare with</span><select class="in w-auto" value=${other.worker_id} onChange=${(event) => pick(event.target.value)}>
      ${others.map((each) => html`<option key=${each.worker_id} value=${each.worker_id}>${each.worker_id} · ${each.agent}</option>`)}</select></label>`}
    ${other ? html`<${Pair} given=${data} two=${[best, other]} choice=${choice} />${best.branch && other.branch && html`<${Between} job=${job} from=${other.worker_id} to=${best.worker_id} />`}`
      : html`<section class="card"><${Empty} title="One worker">Only one agent runs this task.<//></section>`}</div></main>`;
}
