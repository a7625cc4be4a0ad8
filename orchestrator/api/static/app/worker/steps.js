// The steps of the agent, and its prompt.
import { path, text } from "../core/api.js";
import { html } from "../core/html.js";
import { useQuery } from "../core/query.js";
import { Empty, Failure, Loading } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { plain, time } from "../text/format.js";

const ICONS = { said: "i-comment", tool: "i-log", result: "i-report" };

export function Steps({ job, id, running }) {
  const { data, error, loading } = useQuery(path("jobs", job, "workers", id, "transcript"), {}, { every: running ? 3000 : undefined });
  if (loading) return html`<${Loading} what="the steps" />`;
  if (error && error.status !== 404) return html`<${Failure} error=${error} />`;
  const steps = data?.steps || [];
  if (!steps.length) return html`<section class="card"><${Empty} icon="i-comment" title="No steps">This agent has not reported steps. Read its log.<//></section>`;
  return html`<section class="card" aria-label="Steps"><ul class="steps">${steps.map((step, index) => html`<li key=${index}><${Icon} name=${ICONS[step.kind] || "i-log"} />
    <span>${step.tool && html`<b class="strong">${plain(step.tool)}</b><br />`}${step.kind === "said" ? html`<span class="prose-text">${plain(step.text)}</span>` : html`<code class="prose-text">${plain(step.text)}</code>`}</span>
    <span class="small muted num">${step.at ? time(typeof step.at === "number" ? step.at * 1000 : step.at) : ""}</span></li>`)}</ul></section>`;
}

export function Prompt({ url }) {
  const { data, error, loading } = useQuery(url, {}, { load: (signal) => text(url, {}, { signal }) });
  if (loading) return html`<${Loading} what="the prompt" />`;
  if (error) return html`<section class="card">${error.status === 404 ? html`<${Empty} icon="i-report" title="No prompt">Workers of the agent shell run a command, without a prompt.<//>` : html`<${Failure} error=${error} />`}</section>`;
  return html`<section class="card pad" aria-label="Prompt"><pre class="prompt" tabindex="0">${plain(data)}</pre></section>`;
}
