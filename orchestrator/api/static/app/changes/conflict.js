// A worker's change that conflicts with the result: three texts of each file, and the resolutions.
import { path, post } from "../core/api.js";
import { html, useState } from "../core/html.js";
import { useQuery } from "../core/query.js";
import { go, note } from "../core/router.js";
import { mayChange } from "../core/session.js";
import { act } from "../parts/actions.js";
import { ask } from "../parts/dialogs.js";
import { Empty, Failure, Loading } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { State } from "../parts/state.js";
import { many, plain } from "../text/format.js";

const NO_TEXT = "The file does not exist here.";

// Lines of a text. Lines that the base does not have are highlighted.
function Lines({ text, base, hue }) {
  if (text === null || text === undefined) return html`<pre class="soft"><span>${NO_TEXT}</span></pre>`;
  const known = new Set((base ?? "").split("\n"));
  return html`<pre tabindex="0">${text.split("\n").map((line, at) => html`<span key=${at}
    class=${hue && line.trim() && !known.has(line) ? hue : ""}>${plain(line) || " "}</span>`)}</pre>`;
}

function Texts({ id, conflict }) {
  const { data, error, loading } = useQuery(path("jobs", id, "conflicts", conflict.worker_id), { path: conflict.path });
  if (error) return html`<p class="pad soft" role="alert">${error.message}</p>`;
  if (loading) return html`<p class="pad soft" aria-busy="true">Loading</p>`;
  return html`<div class="three"><section><header><h3>Base</h3></header><${Lines} text=${data.base} /></section>
      <section><header><h3>Result</h3></header><${Lines} text=${data.ours} base=${data.base} hue="hl-ours" /></section>
      <section><header><h3>${conflict.worker_id}</h3></header><${Lines} text=${data.theirs} base=${data.base} hue="hl-theirs" /></section></div>
    ${data.merged && html`<details class="pad"><summary class="small">The file with conflict markers</summary><${Lines} text=${data.merged} /></details>`}`;
}

function File({ id, conflict, at, all }) {
  return html`<section class="card" aria-label=${conflict.path}><header><${Icon} name="i-file" /><h2 class="mono">${plain(conflict.path)}</h2>
      ${conflict.resolved && html`<${State} state="success">resolved<//>`}<span class="small muted num">${at + 1} of ${all}</span></header>
    <${Texts} id=${id} conflict=${conflict} /></section>`;
}

// Each resolution is another merge of the ended job, which runs the gates again.
function useWays(id, worker, refresh) {
  const [busy, set] = useState(false);
  const merge = (body, done) => async () => {
    set(true);
    const answer = await act(() => post(path("jobs", id, "merge"), body), done);
    set(false);
    if (answer) refresh();
    return answer;
  };
  const theirs = async () => {
    const text = "Where two workers changed the same lines, one version is used: that of the worker with fewer gate findings, otherwise with more passing tests, otherwise of the worker that is merged later. The report lists each replaced place.";
    if (await ask({ title: `Merge ${worker} by better result`, text, yes: "Merge", no: "Not yet" })) await merge({ strategy: "theirs", include: [worker] }, "Merged")();
  };
  const leave = async () => {
    const text = `The job is then complete without the changes of ${worker}. These changes stay on the branch of ${worker}.`;
    if (await ask({ title: `Exclude ${worker}`, text, yes: "Exclude", no: "Not yet" })) await merge({ exclude: [worker] }, `${worker} is excluded`)();
  };
  return { busy, resolve: merge({ resolve: "worker" }, `${worker} resolves the conflict in another attempt`), theirs, leave };
}

function Ways({ id, worker, merging, refresh }) {
  const ways = useWays(id, worker, refresh);
  const { data: status } = useQuery(path("jobs", id, "status"), { tasks: "none" });
  // A command neither resolves a conflict nor reads feedback.
  const helps = !status?.missing?.some((each) => each.worker_id === worker && !each.resolvable);
  if (!mayChange()) return null;
  if (merging) return html`<div class="reviewbar"><${State} state="running">merging<//></div>`;
  return html`<div class="reviewbar"><span class="small soft grow hide-s">Gates run again on each new result</span>
    ${helps && html`<button type="button" class="btn primary" disabled=${ways.busy} onClick=${ways.resolve}><${Icon} name="i-retry" />Let ${worker} resolve it</button>`}
    <button type="button" class="btn" disabled=${ways.busy} onClick=${ways.theirs}>Let the better result win</button>
    ${helps && html`<a class="btn" href=${`/jobs/${id}/changes?worker=${encodeURIComponent(worker)}`}><${Icon} name="i-comment" />Give feedback</a>`}
    <button type="button" class="btn" disabled=${ways.busy} onClick=${ways.leave}>Exclude ${worker}</button></div>`;
}

export function Conflict({ id, worker }) {
  const { data, error, loading, refresh } = useQuery(path("jobs", id, "conflicts"), {}, { every: 3000 });
  if (error) return html`<${Failure} error=${error} back=${`/jobs/${id}/changes`} />`;
  if (loading) return html`<${Loading} />`;
  const open = data.conflicts.filter((each) => !each.resolved);
  const name = worker || open[0]?.worker_id;
  const mine = data.conflicts.filter((each) => each.worker_id === name);
  if (!mine.some((each) => !each.resolved)) {
    return html`<section class="card"><${Empty} icon="s-success" title="No conflict is open" acts=${html`<button type="button" class="btn"
      onClick=${() => { note({ conflict: "", worker: "" }); go(`/jobs/${id}/changes`); }}>Show the changes</button>`}>
      ${data.merging ? "The merge is running." : "All changes are merged or excluded."}<//></section>`;
  }
  return html`<div class="stack"><div class="note warn"><${Icon} name="s-needs" /><p class="grow"><b class="strong">${name} conflicts with the result</b> in
      ${" "}${many(mine.length, "file")}. Blue: lines of the result. Violet: lines of the worker's change.</p></div>
    ${mine.map((each, at) => html`<${File} key=${each.path} id=${id} conflict=${each} at=${at} all=${mine.length} />`)}
    <${Ways} id=${id} worker=${name} merging=${data.merging} refresh=${refresh} /></div>`;
}
