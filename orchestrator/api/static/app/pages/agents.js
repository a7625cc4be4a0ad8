// The page Agents: agents and how to fix them, nodes, the server's checks, locks, and keys by name.
import { html, useState } from "../core/html.js";
import { useQuery } from "../core/query.js";
import { isAdmin, mayChange } from "../core/session.js";
import { send } from "../core/api.js";
import { act } from "../parts/actions.js";
import { ask } from "../parts/dialogs.js";
import { Empty, Failure, Loading } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { State } from "../parts/state.js";
import { Title } from "../parts/title.js";
import { ago, count, many, money, plain } from "../text/format.js";

const SINCE_MS = 30 * 86400000;

const nodeNames = (names) => (names.length > 2 ? `${names[0]} and ${names.length - 1} more` : names.join(" and "));

function word(agent) {
  if (agent.nodes.length && !(agent.installed && agent.authenticated)) return ["success", `works on ${nodeNames(agent.nodes)}`];
  if (!agent.installed) return ["pending", "not installed"];
  if (!agent.usable) return ["failed", "not ready"];
  return agent.login === "no" ? ["failed", "login failed"] : ["success", "works"];
}

// Agents that work come first; in each group, the order in which agent "auto" prefers them.
const ORDER = ["success", "failed", "pending"];
const sorted = (agents) => [...agents].sort((a, b) => ORDER.indexOf(word(a)[0]) - ORDER.indexOf(word(b)[0]));

const login = (agent) => agent.login_refused || agent.credential || (agent.authenticated ? "none needed" : "–");

// A sentence, not a command: it names a command, a variable, or both.
const Fix = ({ text }) => html`<span class="soft small block">${plain(text)}</span>`;

function Agent({ agent, used }) {
  const [state, words] = word(agent);
  const share = used?.ended ? `${Math.round((100 * used.succeeded) / used.ended)} % of ${count(used.ended)}` : "–";
  const each = used?.workers && used.cost_usd !== undefined && used.cost_usd !== null ? money(used.cost_usd / used.workers) : "–";
  const fix = state !== "success" && agent.fix.length > 0;
  return html`<tr><td><${State} state=${state}>${words}<//></td><td class="full"><b class="strong">${plain(agent.name)}</b> <span class="muted">${plain(agent.version)}</span>
      <span class="small muted block">${plain(agent.description)}</span>${fix && html`<span class="fix">${agent.fix.map((text) => html`<${Fix} key=${text} text=${text} />`)}</span>`}</td>
    <td class=${`soft ${login(agent) === "–" ? "hide-s" : ""}`} data-l="Login">${plain(login(agent))}</td><td class="r num hide-s">${share}</td><td class=${`r num ${each === "–" ? "hide-s" : ""}`} data-l="Cost per worker">${each}</td></tr>`;
}

function Agents({ agents: { data, error, refresh }, usage }) {
  if (error) return html`<${Failure} error=${error} />`;
  const used = new Map((usage.data?.rows || []).map((row) => [row.key, row]));
  const works = data.agents.filter((agent) => word(agent)[0] === "success").length;
  return html`<section class="card"><header><h2>Agents</h2><span class="small muted">${works} of ${data.agents.length} work${data.agents.some((agent) => agent.nodes.length) ? "" : " here"}</span>
      <button type="button" class="btn sm" onClick=${refresh}><${Icon} name="i-retry" />Check again</button></header>
    <table class="tbl cards lastup"><thead><tr><th>State</th><th>Agent</th><th>Login</th><th class="r">Succeeded, 30 days</th><th class="r">Cost per worker</th></tr></thead>
      <tbody>${sorted(data.agents).map((agent) => html`<${Agent} key=${agent.name} agent=${agent} used=${used.get(agent.name)} />`)}</tbody></table></section>`;
}

const NODES = { up: "success", drained: "paused", unreachable: "failed", rejected: "failed", unknown: "pending" };

// The other agents of a node, and the commands that fix them; closed at first.
function Unusable({ agents }) {
  return html`<details class="small"><summary>${many(agents.length, "agent", "agents")} to fix</summary>${agents.map((agent) => html`<div key=${agent.name}><b>${plain(agent.name)}</b> <span class="soft">${plain(agent.reason)}</span>
    <span class="fix">${agent.fix.map((text) => html`<${Fix} key=${text} text=${text} />`)}</span></div>`)}</details>`;
}

function Drain({ node, refresh }) {
  const undo = node.drained;
  const change = async () => {
    const text = `No more workers start on ${node.name}. Its running workers continue.`;
    if (undo || (await ask({ title: `Drain ${node.name}`, text, yes: "Drain" }))) {
      await act(() => send("POST", `/api/v1/nodes/${encodeURIComponent(node.name)}/${undo ? "undrain" : "drain"}`), undo ? "Workers start again" : "Drained");
      refresh();
    }
  };
  return html`<button type="button" class="btn sm" aria-label=${`${undo ? "Undrain" : "Drain"} ${node.name}`} onClick=${change}>${undo ? "Undrain" : "Drain"}</button>`;
}

function Node({ node, refresh }) {
  const labels = Object.entries(node.labels).map(([name, value]) => `${name}=${value}`);
  const size = (bytes) => (bytes === null ? "–" : `${(bytes / 2 ** 30).toFixed(1)} GiB`);
  const seen = node.seen_seconds === null ? "–" : `${node.seen_seconds.toFixed(1)} s ago`;
  return html`<tr><td><${State} state=${NODES[node.state]}>${node.state}<//></td><td class="full"><b class="strong">${plain(node.name)}</b>${" "}
      <span class="muted">${plain(node.version)}</span> ${labels.map((text) => html`<span class="chip" key=${text}>${plain(text)}</span>`)}${node.own_files && html`<span class="chip">own files</span>`}
      <span class="small muted block">${plain(node.agents.join(", ") || "no agents")}</span>${node.unusable_agents.length > 0 && html`<${Unusable} agents=${node.unusable_agents} />`}${node.notice && html`<span class="small block">${plain(node.notice)}</span>`}</td>
    <td class="r num">${node.running} of ${node.slots || "–"}</td><td class="r num">${size(node.memory_bytes)}</td><td class="r num hide-s">${size(node.disk_bytes)}</td><td class="r num hide-s">${seen}</td>${isAdmin() && html`<td class="r"><${Drain} node=${node} refresh=${refresh} /></td>`}</tr>`;
}

// Nothing without a cluster.
function Nodes({ data, refresh }) {
  const nodes = data?.nodes || [];
  if (!nodes.length) return null;
  const up = nodes.filter((node) => node.state === "up").length;
  return html`<section class="card"><header><h2>Nodes</h2><span class="small muted">${up} of ${nodes.length} accept workers</span></header>
    <table class="tbl cards lastup"><thead><tr><th>State</th><th>Node</th><th class="r">Workers</th><th class="r">Memory</th><th class="r">Disk</th><th class="r">Last message</th>${isAdmin() && html`<th class="r">Action</th>`}</tr></thead>
      <tbody>${nodes.map((node) => html`<${Node} key=${node.name} node=${node} refresh=${refresh} />`)}</tbody></table></section>`;
}

const RESULTS = { true: ["success", "passed"], false: ["failed", "to fix"], undefined: ["pending", "note"] };

function Check({ check }) {
  const [state, words] = RESULTS[check.ok];
  return html`<li><${State} state=${state}>${words}<//><span class="grow"><b class="strong">${plain(check.name)}</b> <span class="soft small">${plain(check.message)}</span>
    ${!check.ok && check.fix && html`<span class="fix">${check.fix.split("\n").map((text) => html`<${Fix} key=${text} text=${text} />`)}</span>`}</span></li>`;
}

// Without the scope admin, a key reads the health of the server in place of all checks.
function Doctor() {
  const health = useQuery("/health", {}, { every: 5000 });
  const { data, error, loading, refresh } = useQuery("/api/v1/doctor");
  const [whole, showAll] = useState(false);
  const parts = Object.entries(health.data?.checks || health.error?.body?.checks || {});
  const own = parts.map(([name, text]) => ({ name: name.replaceAll("_", " "), ok: text === "ok", message: text === "ok" ? "" : text }));
  const checks = error ? own : data?.checks || [];
  const bad = checks.filter((check) => check.ok === false).length;
  const shown = whole || error ? checks : checks.filter((check) => !check.ok);
  return html`<section class="card" aria-busy=${loading || undefined}><header><h2>Doctor</h2><span class="small muted">${loading ? "checking" : bad ? `${bad} to fix` : "no problems"}</span>
      ${!error && html`<button type="button" class="btn sm" disabled=${loading} onClick=${refresh}><${Icon} name="i-retry" />Check again</button>`}</header>
    <ul class="list">${health.data?.paused && html`<li><${State} state="paused">paused<//><span class="grow">${plain(health.data.paused)}</span></li>`}
      ${shown.map((check) => html`<${Check} key=${check.name + check.message} check=${check} />`)}
      ${shown.length < checks.length && html`<li><button type="button" class="btn sm" onClick=${() => showAll(true)}>Show ${many(checks.length - shown.length, "check", "checks")} that passed</button></li>`}
      <li><span class="grow soft small">${health.data && `version ${health.data.version} · containment ${health.data.containment}`}${error && ` · ${error.message}`}</span></li></ul></section>`;
}

function Lock({ lock, refresh }) {
  const words = lock.names.join(", ");
  const release = async () => {
    const text = `${lock.worker_id} still uses ${words}. After the release, another worker may change the same files.`;
    if (await ask({ title: "Release the lock", text, yes: "Release", danger: true })) {
      await act(() => send("DELETE", "/api/v1/locks", { names: lock.names }), "Released");
      refresh();
    }
  };
  return html`<li><${Icon} name="i-lock" /><span class="grow"><span class="mono">${plain(words)}</span><br /><span class="small muted"><a class="link"
      href=${`/jobs/${lock.job_id}/w/${lock.worker_id}`}>${lock.worker_id} of ${lock.job_id}</a> · for ${ago(lock.since)}</span></span>
    ${lock.waits ? html`<span class="chip">waits</span>` : lock.kind === "lease" && mayChange() && html`<button type="button" class="btn sm" onClick=${release}>Release</button>`}</li>`;
}

function Locks({ data, refresh }) {
  const locks = data?.locks || [];
  return html`<section class="card"><header><h2>Locks</h2></header>${locks.length
    ? html`<ul class="list">${locks.map((lock) => html`<${Lock} key=${`${lock.worker_id} ${lock.job_id} ${lock.names}`} lock=${lock} refresh=${refresh} />`)}</ul>`
    : html`<${Empty} icon="i-lock" title="No lock is held">A lock keeps two workers from changing the same path at the same time.<//>`}</section>`;
}

function Keys({ data, error }) {
  if (error?.status === 403) return null;
  return html`<section class="card"><header><h2>Keys</h2></header><ul class="list">${(data?.keys || []).map((key) => html`<li key=${key.name}><${Icon} name="i-key" />
      <span class="grow">${plain(key.name)}</span><span class="chip">${key.scopes.join(", ")}</span></li>`)}
    <li><span class="grow soft small">A new key: <code>bin/orchestrator keys new NAME --scope read</code></span></li></ul></section>`;
}

// The parts appear together, because a part that came later would move the parts below it. The checks
// of the server take longest, so they are last.
function Parts() {
  const since = new Date(Math.floor((Date.now() - SINCE_MS) / 3600000) * 3600000).toISOString();
  const agents = useQuery("/api/v1/agents", {}, { every: 15000 });
  const usage = useQuery("/api/v1/usage", { by: "agent", since });
  const nodes = useQuery("/api/v1/nodes", {}, { every: 3000 });
  const locks = useQuery("/api/v1/locks", {}, { every: 3000 });
  const keys = useQuery("/api/v1/keys");
  if ([agents, usage, nodes, locks, keys].some(({ loading }) => loading)) return html`<${Loading} what="the agents" />`;
  return html`<div class="stack"><${Agents} agents=${agents} usage=${usage} /><${Nodes} ...${nodes} />
    <div class="half"><div class="stack"><${Locks} ...${locks} /><${Keys} ...${keys} /></div><${Doctor} /></div></div>`;
}

export function Page() {
  return html`<main id="main"><${Title} text="Agents" /><div class="page-h"><h1>Agents and server</h1></div><${Parts} /></main>`;
}
