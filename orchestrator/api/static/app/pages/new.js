// The page of a new job: its request, agents, limits, and options.
import { post } from "../core/api.js";
import { html, useEffect, useRef, useState } from "../core/html.js";
import { useQuery } from "../core/query.js";
import { go } from "../core/router.js";
import { mayChange } from "../core/session.js";
import { Empty } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { Title } from "../parts/title.js";
import { duration, many, number, placed, plain } from "../text/format.js";

// The agent of commands. It cannot run a request, or a task with a prompt.
const SHELL = "shell";
const SOURCES = { split: "Split the request", commands: "Commands", plan: "Plan" };

function labels(text) {
  const pairs = text.split(",").map((each) => each.trim()).filter(Boolean).map((each) => {
    const at = each.indexOf(":");
    if (at < 1) throw new Error(`Labels: write each as “name: value”, not “${each}”`);
    return [each.slice(0, at).trim(), each.slice(at + 1).trim()];
  });
  return pairs.length ? Object.fromEntries(pairs) : undefined;
}

const commands = (text) => text.split("\n").map((each) => each.trim()).filter(Boolean)
  .map((command) => ({ title: command.slice(0, 80), agent: "shell", command }));

// Parses a plan as YAML, which includes JSON. The parser is loaded when a plan is sent.
async function planOf(text) {
  const { load } = await import("../../vendor/js-yaml.js");
  const given = load(text) ?? {};
  if (typeof given !== "object") throw new Error("A plan is a mapping with the key “tasks”; this is only text.");
  const { request, config, tasks, workdir, ...other } = Array.isArray(given) ? { tasks: given } : given;
  const [unknown] = Object.keys(other);
  if (unknown) throw new Error(`Unknown field “${unknown}”; known: request, config, tasks, workdir`);
  return { request, config, tasks: workdir ? tasks?.map((task) => ({ workdir, ...task })) : tasks };
}

// An Error of one field; `field` is the id of its element.
const fault = (field, error) => Object.assign(typeof error === "string" ? new Error(error) : error, { field });
const inField = (field, read) => Promise.resolve().then(read).catch((error) => { throw fault(field, error); });

// Returns the body of the request. Throws an Error with the field for an invalid field.
async function body(form) {
  const optional = (name, read) => inField(name, () => (form[name].trim() ? read(form[name]) : undefined));
  const config = {
    agent: form.agent === "auto" ? undefined : form.agent,
    max_cost_usd: await optional("cost", (text) => number(text, "Cost")),
    max_wall_seconds: await optional("time", duration),
    max_workers: await optional("workers", (text) => number(text, "Workers at a time")),
    max_recursion_depth: await optional("depth", (text) => number(text, "Depth")),
    labels: await optional("labels", labels),
    base: await optional("base", (text) => text.trim()),
    approve: form.approve || undefined,
    gates: form.gates ? undefined : [],
  };
  const plan = form.source === "plan" ? await inField("plan", () => planOf(form.plan)) : {};
  const tasks = form.source === "commands" ? commands(form.commands) : plan.tasks;
  if (form.source === "commands") delete config.agent;
  if (form.source !== "split" && !tasks?.length) throw fault(form.source, "There are no tasks yet.");
  const request = form.request.trim() || plan.request || (tasks && tasks.map((task) => task.title || task.command).join("; ").slice(0, 300));
  if (!request) throw fault("request", "Describe the work.");
  const kept = Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined));
  return { request, config: { ...plan.config, ...kept }, ...(tasks ? { tasks } : {}) };
}

const EMPTY = {
  request: "", source: "split", commands: "", plan: "", agent: "auto", cost: "", time: "", workers: "", depth: "", labels: "", base: "", approve: false, gates: true,
};

// The entered values, so that a visit to another page does not lose them.
let left = EMPTY;

function Agents({ data, chosen, choose }) {
  const agents = data?.agents || [];
  const lacking = agents.filter((agent) => !agent.usable);
  const best = agents.find((agent) => agent.usable && ![SHELL, "survey"].includes(agent.name));
  const card = (name, words, about, usable = true) => html`<label key=${name} class=${usable ? "" : "off"}><input type="radio" name="agent" value=${name} checked=${chosen === name}
    disabled=${!usable} onChange=${() => choose(name)} /><span>${words}</span><span class="d">${about}</span></label>`;
  return html`<fieldset class="field"><legend class="lab">Agent</legend><div class="pick">
    ${card("auto", "Best available", best ? `now: ${best.name}` : "no AI agent is available: rules plan the job, and the agent survey runs it")}
    ${agents.filter((agent) => agent.usable && agent.name !== SHELL).map((agent) => card(agent.name, agent.name, agent.version || agent.description))}</div>
    ${lacking.length > 0 && html`<details><summary class="small muted press">${many(lacking.length, "agent does", "agents do")} not work here yet</summary><div class="pick">
      ${lacking.map((agent) => card(agent.name, agent.name, html`${agent.installed ? "not logged in" : "not installed"}. To fix: <span class="mono">${plain(agent.fix[0] || "see Agents")}</span>`, false))}</div></details>`}</fieldset>`;
}

const EXAMPLE = `request: Check the project
tasks:
  - {id: lint, command: ruff check .}
  - {id: docs, prompt: "...", depends_on: [lint]}`;

// The field of a job setting. A plan may have the same setting: the field is at fault only if it has a value.
const FIELDS = { max_cost_usd: "cost", max_wall_seconds: "time", max_workers: "workers", max_recursion_depth: "depth", labels: "labels", base: "base" };
const fieldOf = (setting, form) => (form[FIELDS[setting]]?.trim() ? FIELDS[setting] : "");

// The faults of a rejected form, each with the id of its field, if it has one.
function faults(error, form) {
  const listed = error.body?.errors?.map(({ pointer, detail }) => {
    const field = form.source === "plan" && pointer.startsWith("/tasks") ? "plan" : fieldOf(/^\/config\/(\w+)/.exec(pointer)?.[1], form);
    return { field, where: field && field !== "plan" ? "" : placed(pointer), text: detail };
  });
  if (listed?.length) return listed;
  const field = error.field || fieldOf(error.type === "base" ? "base" : /^\w+/.exec(error.message)?.[0], form);
  return [{ field, where: error.mark ? `line ${error.mark.line + 1}` : "", text: error.reason || error.message }];
}

// Attributes of a field, and its faults below it.
const marked = (wrong, name) => (wrong.some(({ field }) => field === name) ? { bad: "bad", invalid: "true", described: `${name}-faults` } : { bad: "" });
function Faults({ wrong, name }) {
  const own = wrong.filter(({ field }) => field === name);
  return own.length > 0 && html`<ul class="note bad faults" id=${`${name}-faults`} role="alert">${own.map(({ where, text }) => html`<li key=${where}>${where && html`<b class="strong">${plain(where)}</b> `}${plain(text)}</li>`)}</ul>`;
}

function Source({ form, put, wrong }) {
  const [typed, written] = [marked(wrong, "commands"), marked(wrong, "plan")];
  const read = async (event) => {
    const [file] = event.target.files;
    if (file) put("plan", await file.text());
  };
  return html`<section class="card"><header class="wrap"><h2>Tasks</h2><div class="seg-c" role="group" aria-label="Where the tasks come from">${Object.entries(SOURCES).map(([name, word]) => html`<button key=${name} type="button"
      aria-pressed=${String(form.source === name)} onClick=${() => put("source", name)}>${word}</button>`)}</div></header><div class="pad form">
    ${form.source === "split" && html`<p class="small muted">The planner splits the request into tasks: an agent if one is available, otherwise rules.</p>`}
    ${form.source === "commands" && html`<div class="field"><label for="commands">Commands, one a line</label><textarea class=${`in mono ${typed.bad}`} id="commands" rows="4" value=${form.commands}
      aria-invalid=${typed.invalid} aria-describedby=${typed.described} onInput=${(event) => put("commands", event.target.value)}></textarea><${Faults} wrong=${wrong} name="commands" />
      <span class="hint">Each line is a task of the agent shell. The tasks run in parallel.</span></div>`}
    ${form.source === "plan" && html`<div class="field"><label for="plan">A plan, as YAML or JSON</label>
      <textarea class=${`in mono ${written.bad}`} id="plan" rows="10" spellcheck="false" value=${form.plan} placeholder=${EXAMPLE} aria-invalid=${written.invalid}
        aria-describedby=${written.described} onInput=${(event) => put("plan", event.target.value)}></textarea><${Faults} wrong=${wrong} name="plan" />
      <label for="pf" class="hint">or from a file</label><input id="pf" type="file" accept=".yaml,.yml,.json" onChange=${read} /></div>`}</div></section>`;
}

function Limits({ form, put, wrong }) {
  const field = (name, word, hint) => {
    const { bad, invalid, described } = marked(wrong, name);
    return html`<div class="field"><label for=${name}>${word}</label><input class=${`in num ${bad}`} id=${name} value=${form[name]} placeholder=${hint}
      aria-invalid=${invalid} aria-describedby=${described} onInput=${(event) => put(name, event.target.value)} /><${Faults} wrong=${wrong} name=${name} /></div>`;
  };
  return html`<section class="card"><header class="wrap"><h2>Limits</h2><span class="small muted">for the whole job tree; empty: the server's limits</span></header>
    <div class="pad four">${field("cost", "Cost", "such as $5.00")}${field("time", "Time", "such as 30 min")}${field("workers", "Workers at a time", "such as 10")}${field("depth", "Depth", "such as 3")}</div>
    <div class="pad two">${field("labels", "Labels", "team: web, area: docs")}${field("base", "Starts from", "the branch that is checked out")}</div></section>`;
}

function Before({ form, put }) {
  const check = (name, word, hint) => html`<label class="check"><input type="checkbox" checked=${form[name]} onChange=${(event) => put(name, event.target.checked)} /><span>${word}<br /><span class="hint">${hint}</span></span></label>`;
  return html`<section class="card"><header><h2>Before it starts</h2></header><div class="pad stack">
    ${check("approve", "Show me the plan first", "Nothing runs until you approve")}${check("gates", "Run the detected gates", "Linters, tests, and the secret scan of this project")}</div></section>`;
}

export function Page() {
  const [form, set] = useState(left);
  left = form;
  const [wrong, setWrong] = useState([]);
  const [busy, setBusy] = useState(false);
  const first = useRef(null);
  // The fields below the list of agents appear with it, because it would move them.
  const agents = useQuery("/api/v1/agents");
  useEffect(() => first.current?.focus(), []);
  const put = (name, value) => set((known) => ({ ...known, [name]: value }));
  const submit = async (event) => {
    event?.preventDefault();
    setBusy(true);
    setWrong([]);
    try {
      const made = await post("/api/v1/orchestrate", await body(form));
      set(EMPTY);
      left = EMPTY;
      go(`/jobs/${made.job_id}`);
    } catch (error) {
      const found = faults(error, form);
      setWrong(found);
      document.getElementById(found[0].field)?.focus();
    }
    setBusy(false);
  };
  if (!mayChange()) return html`<main id="main"><h1 class="sr">New job</h1><section class="card"><${Empty} title="This key has read access only">To start jobs, log in with a key of scope submit or admin.<//></section></main>`;
  const request = marked(wrong, "request");
  const keys = (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && submit();
  return html`<main id="main"><${Title} text="New job" /><div class="page-h"><h1>New job</h1></div><form class="cols" onSubmit=${submit} onKeyDown=${keys}><div class="stack">
      <section class="card pad form"><div class="field"><label for="request">What should be done?</label><textarea class=${`in ${request.bad}`} id="request" rows="4" ref=${first} value=${form.request}
        aria-invalid=${request.invalid} aria-describedby=${request.described} onInput=${(event) => put("request", event.target.value)}></textarea><${Faults} wrong=${wrong} name="request" /><span class="hint">One request, or a list.</span></div>
        ${form.source !== "commands" && !agents.loading && html`<${Agents} data=${agents.data} chosen=${form.agent} choose=${(name) => put("agent", name)} />`}</section>
      ${!agents.loading && html`<${Source} form=${form} put=${put} wrong=${wrong} /><${Limits} form=${form} put=${put} wrong=${wrong} />`}</div>
    <aside class=${`stack ${agents.loading ? "late-s" : ""}`}><${Before} form=${form} put=${put} /><section class="card pad stack">
      ${wrong.filter(({ field }) => !field).map(({ where, text }) => html`<div class="note bad" role="alert" key=${where}><${Icon} name="s-failed" /><p class="grow">${plain(where && where !== "request" ? `${where}: ${text}` : text)}</p></div>`)}
      <button class="btn primary" disabled=${busy}><${Icon} name="i-play" />${form.approve ? "Make the plan" : "Start"}</button>
      <p class="small muted"><kbd>Ctrl</kbd> <kbd>Enter</kbd> starts the job.</p></section></aside></form></main>`;
}
