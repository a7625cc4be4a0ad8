// The page of a job: its head, and one of its views.
import { path } from "../core/api.js";
import { html, useEffect, useMemo, useRef } from "../core/html.js";
import { useQuery } from "../core/query.js";
import { Arriving, Failure, Loading } from "../parts/empty.js";
import { Title } from "../parts/title.js";
import { plain } from "../text/format.js";
import { View as Changes } from "../changes/changes.js";
import { View as Events } from "../job/events.js";
import { View as Graph } from "../job/graph.js";
import { Head } from "../job/head.js";
import { Model, useJob } from "../job/model.js";
import { View as Plan } from "../job/plan.js";
import { View as Report } from "../job/report.js";
import { View as Table } from "../job/table.js";
import { View as Timeline } from "../job/timeline.js";
import { Page as NotFound } from "./notfound.js";
import { Needs, useNeeds } from "./needs.js";

const SHOWN = { graph: Graph, table: Table, timeline: Timeline, changes: Changes, report: Report, plan: Plan, events: Events };

// An ended job has no live events, but can land, for example from a terminal.
const REFRESH_MS = 10000;

// The job as in the list (needs, pause, cost of the tree), with its settings. Workers are in the model.
function useDetails(job, model) {
  const details = useQuery(path("jobs", job), { page_size: 1 }, { every: REFRESH_MS });
  const card = useQuery("/api/v1/jobs", { q: job });
  const refresh = () => {
    card.refresh();
    details.refresh();
  };
  useEffect(() => {
    if (!model) return undefined;
    const timer = setTimeout(card.refresh, 300);
    return () => clearTimeout(timer);
  }, [model?.counts.running]);
  useEffect(() => { if (model) refresh(); }, [model?.status, model?.n]);
  const listed = card.data?.jobs.find((each) => each.job_id === job);
  const data = useMemo(() => (listed || details.data ? { ...details.data, ...listed, request: details.data?.request || listed?.request } : undefined), [card.data, details.data]);
  return { data, loading: details.loading || card.loading, refresh };
}

// The head of a large job is shown before its workers are there.
function preview(job, { request = "", status, tree_counts: counts }) {
  return Object.assign(new Model(job), { jobs: [{ job_id: job, request, status }], counts: counts || {} });
}

// Screen readers read the end of the job, if the page was open before.
function End({ model }) {
  const wasActive = useRef(false);
  wasActive.current ||= model.isActive;
  return html`<p class="sr" role="status">${wasActive.current && !model.isActive ? `The job has ended: ${model.status}` : ""}</p>`;
}

export function Page({ job, view = "graph" }) {
  const { model, error, refresh } = useJob(job);
  const details = useDetails(job, model);
  const View = Object.hasOwn(SHOWN, view) ? SHOWN[view] : null;
  const needs = useNeeds(`${model?.status}${model?.counts.running}${model?.counts.waiting}`, Boolean(model));
  if (!View) return html`<${NotFound} />`;
  if (error) return html`<main id="main"><h1 class="sr">Job ${job}</h1><section class="card"><${Failure} error=${error} /></section></main>`;
  // The head would grow if its reason came later.
  if (details.loading || !(model || details.data)) return html`<${Arriving} trail=${[]} name=${job} title=${`Job ${job}`} what="the job" />`;
  const head = model || preview(job, details.data);
  const again = () => { refresh(); details.refresh(); };
  return html`<${Title} text=${`${plain(head.jobs[0].request.slice(0, 60))} · ${head.status}`} />
    ${model && html`<${End} key=${job} model=${model} />`}<${Head} model=${head} details=${details.data} view=${view} refresh=${again} />
    <main id="main"><${Needs} job=${job} needs=${needs} changed=${again} isActive=${head.counts.running > 0} />${model && !needs.awaited ? html`<${View} model=${model} details=${details.data} refresh=${again} />`
      : html`<${Loading} what=${model ? "what needs you" : "the workers of the job"} />`}</main>`;
}
