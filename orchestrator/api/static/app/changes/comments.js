// Comments on lines of a worker's change. This browser stores them until they are sent.
import { path, post } from "../core/api.js";
import { html, useEffect, useRef, useState } from "../core/html.js";
import { place } from "../core/router.js";
import { useStore } from "../core/store.js";
import { act } from "../parts/actions.js";
import { Icon } from "../parts/icon.js";
import { say } from "../parts/toast.js";
import { many, plain } from "../text/format.js";

const keyOf = (job, worker) => `comments ${job} ${worker}`;

function stored(key) {
  try {
    return JSON.parse(localStorage.getItem(key)) || { commit: "", comments: [] };
  } catch {
    return { commit: "", comments: [] };
  }
}

const summaryOf = (job, worker) => `summary ${job} ${worker}`;
const storeSummary = (key, text) => (text ? localStorage.setItem(key, text) : localStorage.removeItem(key));

// The unsent comments. `outdated`: true if the comments are about another commit of the branch.
export function useComments(job, worker, commit) {
  const key = keyOf(job, worker);
  const [kept, keep] = useState(() => stored(key));
  useEffect(() => keep(stored(key)), [key]);
  const save = (comments) => {
    const next = { commit: comments.length ? kept.commit || commit : "", comments };
    if (comments.length) localStorage.setItem(key, JSON.stringify(next));
    else localStorage.removeItem(key);
    keep(next);
  };
  useEffect(() => {
    if (!kept.comments.length) return undefined;
    const warn = (event) => event.preventDefault();
    addEventListener("beforeunload", warn);
    return () => removeEventListener("beforeunload", warn);
  }, [kept.comments.length]);
  return {
    comments: kept.comments,
    outdated: kept.comments.length > 0 && kept.commit !== commit,
    commit: kept.commit || commit,
    on: (name, side, line) => kept.comments.filter((each) => each.path === name && each.side === side && each.line === line),
    add: (comment) => save([...stored(key).comments, { ...comment, id: `${Date.now()}${stored(key).comments.length}` }]),
    change: (id, text) => save(stored(key).comments.map((each) => (each.id === id ? { ...each, text } : each))),
    remove: (id) => save(stored(key).comments.filter((each) => each.id !== id)),
    clear: () => save([]),
    renew() {
      const next = { ...kept, commit };
      localStorage.setItem(key, JSON.stringify(next));
      keep(next);
    },
  };
}

export function Editor({ line, text = "", save, cancel }) {
  const field = useRef(null);
  useEffect(() => field.current.focus(), []);
  // If the user leaves the page while a comment is open, the comment is saved as an unsent comment.
  const latest = useRef({});
  latest.current = { save, typed: latest.current.typed };
  const close = (act, ...given) => { latest.current.typed = ""; act(...given); };
  useEffect(() => () => latest.current.typed && latest.current.save(latest.current.typed), []);
  const done = () => field.current.value.trim() && close(save, field.current.value.trim());
  const keys = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) done();
    if (event.key === "Escape") close(cancel);
  };
  return html`<div class="thread"><div><div class="by"><b>You</b><span>line ${line}</span></div>
    <label class="sr" for="comment">Comment</label><textarea class="in" id="comment" rows="2" ref=${field} maxlength="10000" onKeyDown=${keys}
      onInput=${(event) => { latest.current.typed = event.target.value.trim(); }}>${text}</textarea>
    <div class="row"><span class="hint hide-s">Becomes part of your feedback, with the line and its code</span>
      <button type="button" class="btn sm ghost" onClick=${() => close(cancel)}>Cancel</button><button type="button" class="btn sm primary" onClick=${done}>Add comment</button></div></div></div>`;
}

export function Thread({ comment, remarks }) {
  const [edits, edit] = useState(false);
  const save = (text) => { remarks.change(comment.id, text); edit(false); };
  if (edits) return html`<${Editor} line=${comment.line} text=${comment.text} save=${save} cancel=${() => edit(false)} />`;
  return html`<div class="thread"><div><div class="by"><b>You</b><span>line ${comment.line}</span><span class="chip">${remarks.outdated ? "outdated" : "pending"}</span></div>
    ${plain(comment.text)}<div class="row"><button type="button" class="btn sm ghost" onClick=${() => edit(true)}>Edit</button>
      <button type="button" class="btn sm ghost" onClick=${() => remarks.remove(comment.id)}>Remove</button></div></div></div>`;
}

const sent = ({ path: name, side, line, text }) => ({ path: name, side, line, text });
const isRunning = (row) => ["running", "waiting", "pending"].includes(row?.status);

// Sends the comments and a summary, which start another attempt of the worker.
export function ReviewBar({ id, worker, row, commit, remarks, done }) {
  const summary = useRef(null);
  const [busy, setBusy] = useState(false);
  const [moved, setMoved] = useState(false);
  const words = many(remarks.comments.length, "comment");
  const key = summaryOf(id, worker);
  const { hash } = useStore(place);
  useEffect(() => { if (hash === "#feedback") summary.current.focus(); }, [hash]);
  const send = async () => {
    const text = summary.current.value.trim();
    const open = document.getElementById("comment");
    if (open?.value.trim()) {
      say("Add or cancel the comment that you are writing");
      open.focus();
      return;
    }
    if (!remarks.comments.length && !text) {
      say("Write a comment on a line, or a summary");
      return;
    }
    setBusy(true);
    const body = { comments: remarks.comments.map(sent), commit: remarks.commit, ...(text ? { summary: text } : {}) };
    const answer = await act(async () => {
      try {
        return await post(path("jobs", row?.job_id || id, "workers", worker, "feedback"), body);
      } catch (error) {
        if (error.type === "outdated") setMoved(true);
        throw error;
      }
    }, (made) => `Sent: attempt ${made.attempt} follows`);
    setBusy(false);
    if (!answer) return;
    remarks.clear();
    summary.current.value = "";
    storeSummary(key, "");
    done();
  };
  const late = remarks.outdated || moved;
  const isOff = busy || late || isRunning(row);
  const keys = (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && !isOff && send();
  return html`<section class=${`reviewbar ${remarks.comments.length ? "" : "idle"}`} aria-label="Your feedback"><span class="st"><${Icon} name="i-comment" />${words}</span>
    ${late && html`<span class="st st-needs"><${Icon} name="s-needs" />The branch has changed since you wrote these comments</span>
      <button type="button" class="btn" onClick=${() => { setMoved(false); remarks.renew(); done(); }}>The comments still apply</button>`}
    <label class="sr" for="feedback">Summary or answer</label><input class="in" id="feedback" ref=${summary} placeholder=${`Summary or answer for ${worker}`} maxlength="10000"
      defaultValue=${localStorage.getItem(key) || ""} onInput=${(event) => storeSummary(key, event.target.value)} onKeyDown=${keys} />
    <button type="button" class="btn primary" disabled=${isOff} onClick=${send}><${Icon} name="i-send" />Send feedback</button>
    ${isRunning(row) && html`<span class="small soft">The worker is running: send a message instead, or wait for its end</span>`}</section>`;
}
