// A worker's change that conflicts with the result: the lines in conflict, the resolutions, and their commands.
import { path, post } from "../core/api.js";
import { html, useState } from "../core/html.js";
import { useQuery } from "../core/query.js";
import { go, note } from "../core/router.js";
import { mayChange } from "../core/session.js";
import { act } from "../parts/actions.js";
import { ask } from "../parts/dialogs.js";
import { Command } from "../parts/copy.js";
import { Empty, Failure, Loading } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { State } from "../parts/state.js";
import { many, plain } from "../text/format.js";
import { hunksOf } from "./markers.js";

const NO_LINES = "No lines here.";
const NO_TEXT = "The file does not exist here.";

// Lines of a text. Lines that the base does not have are highlighted.
function Lines({ text, base, hue }) {
  if (text === null || text === undefined) return html`<pre class="soft"><span>${NO_TEXT}</span></pre>`;
  const known = new Set((base ?? "").split("\n"));
  return html`<pre tabindex="0">${text.split("\n").map((line, at) => html`<span key=${at}
    class=${hue && line.trim() && !known.has(line) ? hue : ""}>${plain(line) || " "}</span>`)}</pre>`;
}

// The lines of one side, between unchanged lines.
function Side({ hunk, lines, hue }) {
  const unchanged = (all) => all.map((line, at) => html`<span class="muted" key=${at}>${plain(line) || " "}</span>`);
  return html`<pre>${unchanged(hunk.before)}${lines.length ? lines.map((line, at) => html`<span class=${hue} key=${at}>${plain(line) || " "}</span>`)
    : html`<span class=${`soft ${hue}`}>${NO_LINES}</span>`}${unchanged(hunk.after)}</pre>`;
}

function Hunk({ hunk, at, all, title }) {
  return html`<section aria-label=${`Conflict ${at + 1} of ${all}`}><p class="place small soft">Conflict ${at + 1} of ${all} · line ${hunk.line} of the result</p>
    <div class="three"><section><header><h3>Base</h3></header><${Side} hunk=${hunk} lines=${hunk.base} hue="" /></section>
      <section><header><h3>Result</h3></header><${Side} hunk=${hunk} lines=${hunk.ours} hue="hl-ours" /></section>
      <section><header><h3>${title}</h3></header><${Side} hunk=${hunk} lines=${hunk.theirs} hue="hl-theirs" /></section></div></section>`;
}

// Rendered when it is opened, because a file may have thousands of lines.
function Whole({ summary, children }) {
  const [open, set] = useState(false);
  return html`<details class="whole" onToggle=${(event) => set(event.target.open)}><summary class="small">${summary}</summary>${open && children()}</details>`;
}

function Texts({ id, conflict, title }) {
  const { data, error, loading } = useQuery(path("jobs", id, "conflicts", conflict.worker_id), { path: conflict.path });
  if (error) return html`<p class="pad soft" role="alert">${error.message}</p>`;
  if (loading) return html`<p class="pad soft" aria-busy="true">Loading</p>`;
  const files = () => html`<div class="three"><section><header><h3>Base</h3></header><${Lines} text=${data.base} /></section>
      <section><header><h3>Result</h3></header><${Lines} text=${data.ours} base=${data.base} hue="hl-ours" /></section>
      <section><header><h3>${title}</h3></header><${Lines} text=${data.theirs} base=${data.base} hue="hl-theirs" /></section></div>`;
  const hunks = hunksOf(data.merged || "");
  if (!hunks.length) return files();
  return html`${hunks.map((hunk, at) => html`<${Hunk} key=${at} hunk=${hunk} at=${at} all=${hunks.length} title=${title} />`)}
    <${Whole} summary="The whole files">${files}<//>
    <${Whole} summary="The file with conflict markers">${() => html`<${Lines} text=${data.merged} />`}<//>`;
}

function File({ id, conflict, at, all, title }) {
  return html`<section class="card" aria-label=${conflict.path}><header><${Icon} name="i-file" /><h2 class="mono">${plain(conflict.path)}</h2>
      ${conflict.resolved && html`<${State} state="success">resolved<//>`}<span class="small muted num">${at + 1} of ${all}</span></header>
    <${Texts} id=${id} conflict=${conflict} title=${title} /></section>`;
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
    const text = "If two workers changed the same lines, the result gets the lines of the worker with fewer gate findings. If these numbers are equal, the worker with more passing tests wins. If both numbers are equal, the worker that is merged later wins. The report lists all replaced lines.";
    if (await ask({ title: `Merge ${worker}: the better result wins`, text, yes: "Merge", no: "Not yet" })) await merge({ strategy: "theirs", include: [worker] }, "Merged")();
  };
  const leave = async () => {
    const text = `The job is then complete without the changes of ${worker}. These changes stay on the branch of ${worker}.`;
    if (await ask({ title: `Exclude ${worker}`, text, yes: "Exclude", no: "Not yet" })) await merge({ exclude: [worker] }, `${worker} is excluded`)();
  };
  return { busy, resolve: merge({ resolve: "worker" }, `${worker} resolves the conflict in another attempt`), theirs, leave };
}

// The same resolutions in a terminal, and a merge by hand. `lack`: the missing change, with the command that the server advises.
function Commands({ id, worker, helps, lack, branch }) {
  const program = lack?.command?.split(" merge ")[0] || "bin/orchestrator";
  const rows = [
    [helps ? `${worker} edits the lines in conflict` : `Agent NAME edits the lines in conflict; ${worker} cannot, because it runs a command`, `${program} merge ${id} --resolve ${helps ? "worker" : "NAME"}`],
    ["The better result wins each conflict", `${program} merge ${id} --strategy theirs --include ${worker}`],
    [`Exclude ${worker}`, `${program} merge ${id} --exclude ${worker}`],
    ["By hand, after the result is landed", `git merge ${branch}`],
  ];
  return html`<section class="card"><header><h2>Resolve it in a terminal</h2></header><ul class="list">${rows.map(([words, text]) => html`<li key=${text} class="way">
    <span class="soft small">${words}</span><${Command} text=${text} /></li>`)}</ul></section>`;
}

function Ways({ id, worker, helps, merging, refresh }) {
  const ways = useWays(id, worker, refresh);
  if (!mayChange()) return null;
  if (merging) return html`<div class="reviewbar"><${State} state="running">merging<//></div>`;
  return html`<div class="reviewbar"><span class="small soft grow hide-s">Gates run again on each new result</span>
    ${helps && html`<button type="button" class="btn primary" disabled=${ways.busy} onClick=${ways.resolve}><${Icon} name="i-retry" />Let ${worker} resolve it</button>`}
    <button type="button" class="btn" disabled=${ways.busy} onClick=${ways.theirs}>Let the better result win</button>
    ${helps && html`<a class="btn" href=${`/jobs/${id}/changes?worker=${encodeURIComponent(worker)}`}><${Icon} name="i-comment" />Give feedback</a>`}
    <button type="button" class="btn" disabled=${ways.busy} onClick=${ways.leave}>Exclude ${worker}</button></div>`;
}

// Changes or promised files that the result lacks, although no lines conflict.
function Lacks({ lacks }) {
  return html`<section class="card"><header><h2>Not in the result</h2></header><ul class="list">${lacks.map((each, at) => html`<li key=${at} class="way">
    <span class="soft small">${each.worker_id}: ${plain(each.why)}</span>${each.command && html`<${Command} text=${each.command} />`}</li>`)}</ul></section>`;
}

export function Conflict({ id, worker, model, changed }) {
  const { data, error, loading, refresh: again } = useQuery(path("jobs", id, "conflicts"), {}, { every: 3000 });
  const refresh = () => { again(); changed(); };
  // The job runs again, for example because the worker resolves the conflict.
  if (error?.status === 409) {
    return html`<section class="card"><${Empty} icon="s-running" title="The job runs" acts=${worker && html`<a class="btn" href=${`/jobs/${id}/w/${encodeURIComponent(worker)}`}>Log of ${worker}</a>`}>
      This page shows the conflict if it still exists when the job has ended.<//></section>`;
  }
  if (error) return html`<${Failure} error=${error} back=${`/jobs/${id}/changes`} />`;
  if (loading) return html`<${Loading} what="the conflict" />`;
  const open = data.conflicts.filter((each) => !each.resolved);
  const name = worker || open[0]?.worker_id;
  const mine = data.conflicts.filter((each) => each.worker_id === name);
  if (!mine.some((each) => !each.resolved)) {
    const lacks = data.merging ? [] : data.missing.filter((each) => !each.chosen && (!worker || each.worker_id === worker));
    if (lacks.length) return html`<${Lacks} lacks=${lacks} />`;
    return html`<section class="card"><${Empty} icon="s-success" title="No conflict is open" acts=${html`<button type="button" class="btn"
      onClick=${() => { note({ conflict: "", worker: "" }); go(`/jobs/${id}/changes`); }}>Show the changes</button>`}>
      ${data.merging ? "The merge is running." : "All changes are merged or excluded."}<//></section>`;
  }
  const lack = data.missing.find((each) => each.worker_id === name);
  // A worker that runs a command cannot resolve a conflict or read feedback.
  const helps = !lack || lack.resolvable;
  const task = model.place.has(name) ? model.name(model.place.get(name)) : name;
  const title = html`${name}${task !== name && html` <span class="muted small">${plain(task)}</span>`}`;
  return html`<div class="stack arrives"><div class="note warn"><${Icon} name="s-needs" /><p class="grow"><b class="strong">${name} conflicts with the result</b> in
      ${" "}${many(mine.length, "file")}. Blue: lines of the result. Violet: lines of the worker's change.${" "}
      <a class="link" href=${`/jobs/${id}/changes?worker=${encodeURIComponent(name)}`}>All changes of ${name}</a></p></div>
    ${mine.map((each, at) => html`<${File} key=${each.path} id=${id} conflict=${each} at=${at} all=${mine.length} title=${title} />`)}
    ${mayChange() && html`<${Commands} id=${id} worker=${name} helps=${helps} lack=${lack} branch=${mine[0].branch} />`}
    <${Ways} id=${id} worker=${name} helps=${helps} merging=${data.merging} refresh=${refresh} /></div>`;
}
