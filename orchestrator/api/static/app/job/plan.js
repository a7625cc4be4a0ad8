// A plan: its tasks and, while it waits for approval, the estimate, the fields, and the decision.
import { path, post, send } from "../core/api.js";
import { html, useEffect, useState } from "../core/html.js";
import { useKeys } from "../core/keys.js";
import { useQuery } from "../core/query.js";
import { mayChange } from "../core/session.js";
import { act, rejectPlan } from "../parts/actions.js";
import { ask } from "../parts/dialogs.js";
import { Failure, Loading } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { many, money, plain, seconds, tokens } from "../text/format.js";

const PLAN_MS = 3000;
const text = (task) => task.title || task.prompt || (Array.isArray(task.command) ? task.command.join(" ") : task.command) || task.approve || "";
const agentOf = (task) => (Array.isArray(task.agent) ? task.agent.map((each) => each.name || each).join(", ") : task.agent || "auto");
const agentInWords = (task) => (task.approve ? "a person" : task.command && !task.agent ? "shell" : plain(agentOf(task)));
const isPlain = (task) => !Array.isArray(task.agent) && !task.command && !task.approve;

const NONE = { version: 0, saved: null, tasks: null };

// The plan as edited here: `tasks`, made from the tasks `saved` of a `version`. `outdated`: another
// person, or another tab, has saved a later version than the one that was edited here.
function useDraft(id, waits) {
  const plan = useQuery(path("jobs", id, "plan"), {}, { every: waits ? PLAN_MS : undefined });
  const [{ version, saved, tasks }, put] = useState(NONE);
  const edited = JSON.stringify(tasks) !== JSON.stringify(saved);
  const adopt = (given) => put({ version: given.version, saved: given.tasks, tasks: given.tasks });
  const outdated = edited && plan.data?.version > version;
  useEffect(() => { if (plan.data?.version > version && !edited) adopt(plan.data); }, [plan.data, edited]);
  const set = (next) => put((known) => ({ ...known, tasks: next }));
  const change = (at, fields) => set(tasks.map((task, place) => (place === at ? { ...task, ...fields } : task)));
  const remove = (at) => {
    const gone = tasks[at].id;
    set(tasks.filter((_, place) => place !== at).map((task) => ({ ...task, depends_on: (task.depends_on || []).filter((each) => each !== gone) })));
  };
  const add = () => {
    set([...tasks, { id: fresh(tasks), title: "", agent: "auto", depends_on: [] }]);
    requestAnimationFrame(() => document.getElementById(`t${tasks.length}`)?.focus());
  };
  return { ...plan, version, saved, tasks, edited, outdated, adopt, change, remove, add };
}

function fresh(tasks) {
  const taken = new Set(tasks.map((task) => task.id));
  let number = tasks.length + 1;
  while (taken.has(`task_${number}`)) number += 1;
  return `task_${number}`;
}

// The numbers of a task's dependencies.
function After({ task, at, draft, number, may }) {
  const after = (task.depends_on || []).map((each) => number.get(each));
  // The typed text, until it is valid: a redraw of the page must not replace this text.
  const [typed, type] = useState(null);
  if (!may) return html`<span class="chips">${after.length ? after.map((each) => html`<span class="chip line" key=${each}>${each}</span>`) : html`<span class="muted">nothing</span>`}</span>`;
  const change = (event) => {
    const given = [...new Set(event.target.value.split(/[\s,]+/).filter(Boolean).map(Number))];
    const isWrong = given.some((each) => !draft.tasks[each - 1] || each === at + 1);
    event.target.setCustomValidity(isWrong ? `Numbers of other tasks, from 1 to ${draft.tasks.length}` : "");
    if (!event.target.reportValidity()) return;
    draft.change(at, { depends_on: given.map((each) => draft.tasks[each - 1].id) });
    type(null);
  };
  return html`<label class="sr" for=${`d${at}`}>Task ${at + 1} starts after</label><input class="in num" id=${`d${at}`} placeholder="nothing" value=${typed ?? after.join(", ")}
    onInput=${(event) => type(event.target.value)} onChange=${change} />`;
}

const ROWS = 3;
const BODIES = { prompt: "Prompt", command: "Command" };

const textOf = (task, name) => (typeof task?.[name] === "string" ? task[name] : "");

// The fields of a task. They depend on the saved task, so that no field disappears while its text is edited:
// a task without a title has only the field of its prompt or command.
function fieldsOf(task, was) {
  const body = Object.keys(BODIES).find((each) => textOf(was, each) && textOf(was, each) !== was.title);
  return { body, title: isPlain(task) && (!body || Boolean(was.title)) };
}

function Row({ task, at, agents, draft, number, may }) {
  const name = (event) => draft.change(at, { agent: event.target.value });
  // A prompt that equals the title changes with the title.
  const title = (event) => draft.change(at, { title: event.target.value, ...(task.prompt && task.prompt === task.title && { prompt: event.target.value }) });
  const { body, title: hasTitle } = fieldsOf(task, draft.saved.find((each) => each.id === task.id));
  const more = [body && !may && task.title ? task[body] : "", task.title ? task.approve : "", (task.writes || []).join(", ")].filter(Boolean).join(" · ");
  return html`<tr><td class="num muted">${at + 1}</td><td class="full">${may && hasTitle ? html`<label class="sr" for=${`t${at}`}>Title of task ${at + 1}</label><input class="in title-in" id=${`t${at}`} value=${task.title || ""} onInput=${title} />` : (!may || !body || task.title) && html`<b class="strong" id=${`t${at}`}>${plain(text(task))}</b>`}
      ${may && body && html`<label class="sr" for=${`b${at}`}>${BODIES[body]} of task ${at + 1}</label><textarea class="in title-in" id=${`b${at}`} rows=${ROWS} value=${task[body]} onInput=${(event) => draft.change(at, { [body]: event.target.value })}></textarea>`}
      ${more && html`<span class="small muted block cut">${plain(more)}</span>`}</td>
    <td>${may && isPlain(task) ? html`<label class="sr" for=${`a${at}`}>Agent of task ${at + 1}</label><select class="in" id=${`a${at}`} value=${agentOf(task)} onChange=${name}>
        ${[...new Set(["auto", agentOf(task), ...agents])].map((each) => html`<option key=${each} value=${each}>${each}</option>`)}</select>` : html`<span class="mono">${agentInWords(task)}</span>`}</td>
    <td class="soft hide-s">${plain(task.role || "–")}</td><td class="soft"><${After} task=${task} at=${at} draft=${draft} number=${number} may=${may} /></td>
    <td class="r">${may && html`<button type="button" class="btn ghost icon sm" aria-label=${`Remove task ${at + 1}`} onClick=${() => draft.remove(at)}><${Icon} name="i-x" /></button>`}</td></tr>`;
}

function Estimate({ estimate, job }) {
  const limits = [money(job.config?.max_cost_usd, ""), job.config?.max_wall_seconds && seconds(job.config.max_wall_seconds), many(job.config?.max_workers ?? 0, "worker")].filter(Boolean);
  const cost = estimate?.cost_usd === null || estimate?.cost_usd === undefined ? "unknown" : `~${money(estimate.cost_usd)}`;
  const from = estimate?.from_workers ? `from ${many(estimate.from_workers, "earlier worker")}` : "a rule of thumb, because there are no earlier workers";
  return html`<section class="card"><div class="est"><div><span class="small muted">Cost, expected</span><b>${cost}</b><span class="small soft">${from}</span></div>
    <div><span class="small muted">Tokens, expected</span><b>${tokens(estimate?.tokens)}</b><span class="small soft">one attempt of each worker</span></div>
    <div><span class="small muted">Limits</span><b>${limits[0] || "–"}</b><span class="small soft">${limits.slice(1).join(" · ")}</span></div></div></section>`;
}

function useDecision(id, draft, changed) {
  const [busy, set] = useState(false);
  const save = () => send("PUT", path("jobs", id, "plan"), { tasks: draft.tasks, version: draft.version });
  const during = async (change) => {
    set(true);
    const done = await change();
    set(false);
    if (done) changed();
    return done;
  };
  const approve = async () => {
    const wrong = document.querySelector("main :invalid");
    if (wrong) return void wrong.reportValidity();
    const words = `${many(draft.tasks.length, "task")} start${draft.tasks.length === 1 ? "s" : ""}, with the limits that are shown.`;
    if (!(await ask({ title: "Approve the plan", text: words, yes: "Approve and start", no: "Not yet" }))) return;
    await during(() => act(async () => {
      const { version } = draft.edited ? await save() : draft;
      return post(path("jobs", id, "approve"), { version });
    }, "Approved"));
  };
  const keep = () => during(() => act(async () => { const made = await save(); draft.adopt(made); draft.refresh(); return made; }, "Saved"));
  return { busy, approve, keep, reject: () => during(() => rejectPlan(id)) };
}

const Outdated = ({ draft }) => html`<div class="note bad" role="alert"><${Icon} name="s-failed" /><p class="grow"><b class="strong">Someone has saved another version of this plan.</b>
  Your changes cannot be saved. Copy them before you continue.</p><button type="button" class="btn" onClick=${() => draft.adopt(draft.data)}>Discard my changes</button></div>`;

// Another person, or another tab, may have decided.
const Decided = ({ id, status }) => html`<div class="note info"><${Icon} name="s-success" /><p class="grow"><b class="strong">This plan no longer waits.</b>${" "}
  The job is ${status}. <a class="link" href=${`/jobs/${id}`}>Show the job</a></p></div>`;

function Plan({ id, job, changed }) {
  const waits = job.awaits_approval !== false;
  const may = waits && mayChange();
  const draft = useDraft(id, waits);
  const agents = useQuery("/api/v1/agents");
  const decision = useDecision(id, draft, changed);
  useKeys({ a: () => (may && draft.tasks ? void (draft.outdated || decision.approve()) : false) });
  if (draft.error && !draft.tasks) return html`<${Failure} error=${draft.error} back="/" />`;
  if (!draft.tasks) return html`<${Loading} what="the plan" />`;
  const usable = (agents.data?.agents || []).filter((each) => each.usable).map((each) => each.name);
  const number = new Map(draft.tasks.map((task, at) => [task.id, at + 1]));
  return html`<div class="stack">${waits ? html`<div class="note warn"><${Icon} name="s-needs" /><p class="grow"><b class="strong">This plan waits for you.</b> Nothing has run yet${draft.edited ? "; your changes are not saved" : ""}.</p></div>
      ${draft.outdated && html`<${Outdated} draft=${draft} />`}
      <${Estimate} estimate=${draft.data.estimate} job=${job} />` : html`<${Decided} id=${id} status=${job.status} />`}
    <section class="card" aria-labelledby="plan-h"><header><h2 id="plan-h">${many(draft.tasks.length, "task")}</h2>
      ${may && html`<button type="button" class="btn sm" onClick=${draft.add}><${Icon} name="i-plus" />Add a task</button>`}</header>
      <table class="tbl plan cards"><thead><tr><th><span class="sr">Number</span></th><th>Task</th><th>Agent</th><th>Role</th><th>Starts after</th><th><span class="sr">Remove</span></th></tr></thead>
        <tbody>${draft.tasks.map((task, at) => html`<${Row} key=${task.id} task=${task} at=${at} agents=${usable} draft=${draft} number=${number} may=${may} />`)}</tbody></table></section>
    ${may && html`<section class="reviewbar" aria-label="Your decision"><span class="grow small soft hide-s">Approval starts the tasks as shown</span>
      <button type="button" class="btn primary" disabled=${decision.busy || draft.outdated} onClick=${decision.approve}><${Icon} name="i-play" />Approve and start</button>
      <button type="button" class="btn" disabled=${decision.busy || !draft.edited || draft.outdated} onClick=${decision.keep}>Save</button>
      <button type="button" class="btn danger" disabled=${decision.busy} onClick=${decision.reject}>Reject</button></section>`}</div>`;
}

export const View = ({ model, details, refresh }) => html`<${Plan} id=${model.job} job=${details || {}} changed=${refresh} />`;
