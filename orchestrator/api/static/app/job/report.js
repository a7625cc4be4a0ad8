// The view Report: the reports of the job, its files, and its figures.
import { path, text } from "../core/api.js";
import { html, useEffect } from "../core/html.js";
import { useQuery } from "../core/query.js";
import { place } from "../core/router.js";
import { useStore } from "../core/store.js";
import { Empty, Failure, Loading } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { many, money, plain, seconds, tokens } from "../text/format.js";
import { markdown } from "../text/markdown.js";

// Names of possible reports of this job. The server answers 404 for a report that does not exist.
function files(model, details) {
  const depth = details?.depth ?? model.jobs[0].depth;
  const own = depth ? `job_${model.job}.md` : "FINAL_RESULT.md";
  const levels = [...new Set(model.jobs.map((job) => job.depth))].sort((a, b) => a - b).map((level) => `LEVEL_${level}_REPORT.md`);
  return depth ? [own, ...levels] : [own, ...levels, "timeline.md", "tree.txt", "analytics.json"];
}

// Converts links in reports, which are paths in the workspace, to addresses of pages.
function target(model, given) {
  const name = given.split("#")[0].split("/").pop();
  const log = /^depth_\d+_(worker_[\d_]+)\.log$/.exec(name);
  if (log) return `/jobs/${model.job}/w/${log[1]}`;
  if (/^((LEVEL_\d+_REPORT|FINAL_RESULT|timeline|job_\w+)\.md|tree\.txt|analytics\.json)$/.test(name)) return `?file=${name}`;
  return null;
}

function Body({ model, name, data }) {
  if (name.endsWith(".md")) return html`<div class="prose">${markdown(data, (given) => target(model, given))}</div>`;
  const shown = name.endsWith(".json") ? JSON.stringify(JSON.parse(data), null, 2) : data;
  return html`<div class="prose"><pre tabindex="0">${plain(shown)}</pre></div>`;
}

function Worth({ model, details }) {
  let used = 0;
  for (let i = 0; i < model.n; i += 1) used += model.tokens[i] || 0;
  const { cost_usd: cost, cost_partial: partial, tokens: all = 0 } = details?.usage || {};
  return html`<section class="card"><header><h2>Figures</h2></header><div class="pad"><dl class="facts"><dt>Cost</dt><dd class="num">${money(cost, partial ? "unknown" : "–")}${partial && cost !== undefined && ", partly unknown"}</dd>
    <dt>Time</dt><dd class="num">${seconds(details?.seconds)}</dd><dt>Tokens</dt><dd class="num">${tokens(Math.max(used, all))}</dd>
    <dt>Workers</dt><dd class="num">${many(model.n, "worker")} in ${many(model.jobs.length, "job")}</dd></dl></div></section>`;
}

export function View({ model, details }) {
  const given = new URLSearchParams(useStore(place).search).get("file");
  const all = files(model, details);
  const name = given || all[0];
  const address = path("jobs", model.job, "reports", name);
  const { data, error, loading, refresh } = useQuery(address, { }, { load: (signal) => text(address, {}, { signal }) });
  // The end of each run writes the reports; a landing changes them.
  useEffect(refresh, [model.status, details?.landed?.length]);
  const body = () => {
    if (loading) return html`<${Loading} what="the report" />`;
    if (error?.status === 404) return html`<${Empty} icon="i-report" title=${model.isActive ? "Not written yet" : "No such report"}>${model.isActive
      ? "Reports are written when the job ends. The graph and the table are live." : "The job has no report of this name."}<//>`;
    if (error) return html`<${Failure} error=${error} />`;
    return html`<${Body} model=${model} name=${name} data=${data} />`;
  };
  return html`<div class="cols"><article class="card pad">${body()}</article><aside class=${`stack ${loading ? "late-s" : ""}`}><${Worth} model=${model} details=${details} />
    <section class="card"><header><h2>Files</h2></header><ul class="list">${all.map((each) => html`<li key=${each}><${Icon} name="i-report" />
      <a class="grow link" href=${`?file=${each}`} aria-current=${each === name ? "true" : undefined} data-row>${each}</a></li>`)}</ul></section></aside></div>`;
}
