// Agents with what makes each usable, the server's own checks, locks, and keys by name.
import { html } from "../core/html.js";
import { useQuery } from "../core/query.js";
import { mayChange } from "../core/session.js";
import { send } from "../core/api.js";
import { act } from "../parts/act.js";
import { ask } from "../parts/ask.js";
import { Empty, Failure, Loading } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { say } from "../parts/toast.js";
import { State } from "../parts/state.js";
import { Title } from "../parts/title.js";
import { ago, count, money, plain } from "../text/format.js";

const SINCE_MS = 30 * 86400000;

function word(agent) {
  if (!agent.installed) return ["pending", "not installed"];
  if (!agent.usable) return ["failed", "not ready"];
  return agent.login === "no" ? ["failed", "login failed"] : ["success", "works"];
}

const login = (agent) => agent.login_refused || agent.credential || (agent.authenticated ? "none needed" : "–");

function Command({ text }) {
  const copy = async () => { await navigator.clipboard.writeText(text); say("Copied"); };
  return html`<span class="cmd">${plain(text)}<button type="button" class="btn ghost sm" aria-label=${`Copy ${text}`} onClick=${copy}>Copy</button></span>`;
}

function Agent({ agent, used }) {
  const [state, words] = word(agent);
  const share = used?.workers ? `${Math.round((100 * used.succeeded) / used.workers)} % of ${count(used.workers)}` : "–";
  const each = used?.workers && used.cost_usd !== undefined && used.cost_usd !== null ? money(used.cost_usd / used.workers) : "–";
  const fix = state !== "success" && agent.mend.length > 0;
  return html`<tr><td><${State} state=${state}>${words}<//></td><td class="full"><b class="strong">${plain(agent.name)}</b> <span class="muted">${plain(agent.version)}</span>
      <span class="small muted block">${plain(agent.description)}</span>${fix && html`<span class="fix">${agent.mend.map((text) => html`<${Command} key=${text} text=${text} />`)}</span>`}</td>
    <td class=${`soft ${login(agent) === "–" ? "hide-s" : ""}`}>${plain(login(agent))}</td><td class="r num hide-s">${share}</td><td class=${`r num ${each === "–" ? "hide-s" : ""}`}>${each}</td></tr>`;
}

function Agents() {
  const since = new Date(Math.floor((Date.now() - SINCE_MS) / 3600000) * 3600000).toISOString();
  const { data, error, loading, refresh } = useQuery("/api/v1/agents", {}, { every: 15000 });
  const usage = useQuery("/api/v1/usage", { by: "agent", since });
  if (error) return html`<${Failure} error=${error} />`;
  if (loading) return html`<${Loading} />`;
  const used = new Map((usage.data?.rows || []).map((row) => [row.key, row]));
  const works = data.agents.filter((agent) => word(agent)[0] === "success").length;
  return html`<section class="card"><header><h2>Agents</h2><span class="small muted">${works} of ${data.agents.length} work here</span>
      <button type="button" class="btn sm" onClick=${refresh}><${Icon} name="i-retry" />Check again</button></header>
    <table class="tbl cards lastup"><thead><tr><th>State</th><th>Agent</th><th>Login</th><th class="r">Succeeded, 30 days</th><th class="r">A worker</th></tr></thead>
      <tbody>${data.agents.map((agent) => html`<${Agent} key=${agent.name} agent=${agent} used=${used.get(agent.name)} />`)}</tbody></table></section>`;
}

function Checks() {
  const { data, error } = useQuery("/health", {}, { every: 5000 });
  const checks = Object.entries(data?.checks || error?.body?.checks || {});
  const bad = checks.filter(([, text]) => text !== "ok").length;
  return html`<section class="card"><header><h2>Doctor</h2><span class="small muted">${bad ? `${bad} to fix` : "all well"}</span></header><ul class="list">
    ${checks.map(([part, text]) => html`<li key=${part}><${State} state=${text === "ok" ? "success" : "failed"}>${text === "ok" ? "well" : "to fix"}<//>
      <span class="grow"><b class="strong">${plain(part.replaceAll("_", " "))}</b> ${text !== "ok" && html`<span class="soft small">${plain(text)}</span>`}</span></li>`)}
    ${data?.paused && html`<li><${State} state="paused">paused<//><span class="grow">${plain(data.paused)}</span></li>`}
    <li><span class="grow soft small">${data ? `version ${data.version} · containment ${data.containment}` : ""}. All checks: <code>orchestrator doctor</code></span></li></ul></section>`;
}

function Lock({ lock, refresh }) {
  const words = lock.names.join(", ");
  const release = async () => {
    const text = `${words}: released although ${lock.worker_id} uses it. Another worker may then change the same files.`;
    if (await ask({ title: "Release the lock", text, yes: "Release", danger: true })) {
      await act(() => send("DELETE", "/api/v1/locks", { names: lock.names }), "Released");
      refresh();
    }
  };
  return html`<li><${Icon} name="i-lock" /><span class="grow"><span class="mono">${plain(words)}</span><br /><span class="small muted"><a class="link"
      href=${`/jobs/${lock.job_id}/w/${lock.worker_id}`}>${lock.worker_id} of ${lock.job_id}</a> · for ${ago(lock.since)}</span></span>
    ${lock.waits ? html`<span class="chip">waits</span>` : lock.kind === "lease" && mayChange() && html`<button type="button" class="btn sm" onClick=${release}>Release</button>`}</li>`;
}

function Locks() {
  const { data, refresh } = useQuery("/api/v1/locks", {}, { every: 3000 });
  const locks = data?.locks || [];
  return html`<section class="card"><header><h2>Locks</h2></header>${locks.length
    ? html`<ul class="list">${locks.map((lock) => html`<${Lock} key=${`${lock.worker_id} ${lock.job_id} ${lock.names}`} lock=${lock} refresh=${refresh} />`)}</ul>`
    : html`<${Empty} icon="i-lock" title="No lock is held">A lock keeps two workers from changing the same path at the same time.<//>`}</section>`;
}

function Keys() {
  const { data, error } = useQuery("/api/v1/keys");
  if (error?.status === 403) return null;
  return html`<section class="card"><header><h2>Keys</h2></header><ul class="list">${(data?.keys || []).map((key) => html`<li key=${key.name}><${Icon} name="i-key" />
      <span class="grow">${plain(key.name)}</span><span class="chip">${key.scopes.join(", ")}</span></li>`)}
    <li><span class="grow soft small">A new key: <code>orchestrator keys new NAME --scope read</code></span></li></ul></section>`;
}

export function Page() {
  return html`<main id="main"><${Title} text="Agents" /><div class="page-h"><h1>Agents and server</h1></div><div class="stack"><${Agents} />
    <div class="half"><${Checks} /><${Locks} /></div><div class="half"><${Keys} /></div></div></main>`;
}
