// The question of a task that waits for a person, with the results of the task's dependencies.
import { path, post } from "../core/api.js";
import { html } from "../core/html.js";
import { useQuery } from "../core/query.js";
import { mayChange } from "../core/session.js";
import { act } from "../parts/actions.js";
import { ask } from "../parts/dialogs.js";
import { Failure, Loading } from "../parts/empty.js";
import { State } from "../parts/state.js";
import { many, plain } from "../text/format.js";

function Made({ job, made }) {
  return html`<section class="card"><header><h2><a class="link" href=${`/jobs/${job}/w/${made.worker_id}`}>${plain(made.task_id)}</a></h2>
      <${State} state=${made.status}>${made.status}<//></header>
    <div class="pad stack">${made.output ? html`<pre class="prompt" tabindex="0">${plain(made.output)}</pre>` : html`<p class="muted">The task wrote no result.</p>`}
      ${made.files_created.length > 0 && html`<p class="small"><a class="link" href=${`/jobs/${job}/changes?worker=${made.worker_id}`}>${many(made.files_created.length, "file")}</a>
        <span class="muted"> ${plain(made.files_created.slice(0, 5).join(", "))}${made.files_created.length > 5 && ", ..."}</span></p>`}</div></section>`;
}

const TITLES = { approve: "Approve", reject: "Reject" };
const DONE = { approve: "Approved", reject: "Rejected" };

// Asks for a comment, and sends the answer; null if the person decides later.
export async function answerQuestion(job, task, word, text) {
  const title = TITLES[word];
  const comment = await ask({ title, text, field: "Comment", yes: title, no: "Not yet" });
  return comment === null ? null : act(() => post(path("jobs", job, "tasks", task, word), { comment }), DONE[word]);
}

export function Question({ job, worker, refresh }) {
  const { data, error } = useQuery(path("jobs", job, "tasks", worker.task_id, "question"), {});
  if (error) return html`<section class="card"><${Failure} error=${error} /></section>`;
  if (!data) return html`<${Loading} what="the question" />`;
  const answer = (word) => async () => { await answerQuestion(job, worker.task_id, word, plain(data.question)); refresh(); };
  const button = (word, kind) => worker.can?.includes(word) && html`<button type="button" class=${`btn ${kind}`} onClick=${answer(word)}>${TITLES[word]}</button>`;
  return html`<div class="stack">
    <section class="card"><header><h2>Question</h2></header><div class="pad stack"><p class="prose-text">${plain(data.question)}</p>
      ${data.by && html`<p class="soft">Answered by key ${plain(data.by)}${data.comment && `: ${plain(data.comment)}`}</p>`}
      ${mayChange() && html`<div class="acts">${button("approve", "primary")}${button("reject", "")}</div>`}</div></section>
    ${data.made.map((made) => html`<${Made} key=${made.worker_id} job=${job} made=${made} />`)}</div>`;
}
