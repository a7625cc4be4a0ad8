// The page of a job: its head, and one of its views.
import { path } from "../core/api.js";
import { html, useEffect, useMemo, useState } from "../core/html.js";
import { useQuery } from "../core/query.js";
import { Failure, Loading } from "../parts/empty.js";
import { Title } from "../parts/title.js";
import { plain } from "../text/format.js";
import { Head, VIEWS } from "../job/head.js";
import { useJob } from "../job/model.js";
import { Page as NotFound } from "./notfound.js";
import { Needs } from "./needs.js";

function useView(name) {
  const [loaded, set] = useState({});
  const found = VIEWS.find((each) => each.name === name);
  useEffect(() => {
    let wanted = true;
    found?.load().then((made) => wanted && set({ name, View: made.View }));
    return () => { wanted = false; };
  }, [name]);
  return { known: Boolean(found), View: loaded.name === name ? loaded.View : null };
}

// The job as in the list (needs, pause, cost of the tree), with its settings. Workers are in the model.
function useDetails(model) {
  const details = useQuery(model ? path("jobs", model.job) : null, { page_size: 1 });
  const card = useQuery(model ? "/api/v1/jobs" : null, { q: model?.job });
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
  const listed = card.data?.jobs.find((each) => each.job_id === model?.job);
  const data = useMemo(() => (listed || details.data ? { ...details.data, ...listed, request: details.data?.request || listed?.request } : undefined), [card.data, details.data]);
  return { data, refresh };
}

export function Page({ job, view = "graph" }) {
  const { model, error, refresh } = useJob(job);
  const details = useDetails(model);
  const { known, View } = useView(view);
  if (!known) return html`<${NotFound} />`;
  if (error) return html`<main id="main"><h1 class="sr">Job ${job}</h1><section class="card"><${Failure} error=${error} /></section></main>`;
  if (!model) return html`<main id="main"><${Loading} /></main>`;
  const again = () => { refresh(); details.refresh(); };
  return html`<${Title} text=${`${plain(model.jobs[0].request.slice(0, 60))} · ${model.status}`} />
    <${Head} model=${model} details=${details.data} view=${view} refresh=${again} />
    <main id="main"><${Needs} job=${job} beat=${`${model.status}${model.counts.running}${model.counts.waiting}`} changed=${again} />${View ? html`<${View} model=${model} details=${details.data} refresh=${again} />` : html`<${Loading} />`}</main>`;
}
