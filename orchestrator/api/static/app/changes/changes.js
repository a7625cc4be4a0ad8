// The view Changes of a job: the diff of its result or of one worker, file by file, with comments.
import { get, path, text } from "../core/api.js";
import { html, useEffect, useRef, useState } from "../core/html.js";
import { useKeys } from "../core/keys.js";
import { useQuery } from "../core/query.js";
import { decoded, note, place } from "../core/router.js";
import { mayChange } from "../core/session.js";
import { useStore } from "../core/store.js";
import { act } from "../parts/actions.js";
import { save } from "../parts/download.js";
import { Empty, Failure, Loading } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { count, many, plain } from "../text/format.js";
import { ReviewBar, useComments } from "./comments.js";
import { Conflict } from "./conflict.js";
import { FileDiff, PlusMinus } from "./file.js";

// Maximum lines of a diff that is fetched whole. Of a larger diff, each file is fetched when opened.
const WHOLE_LINES = 4000;
// Maximum lines of a file that is open at first.
const OPEN_LINES = 600;
const SPLIT_WIDTH = 1100;
// Maximum number of links to changes of single workers.
const MOST_LINKS = 12;

const lines = (file) => (file.additions || 0) + (file.deletions || 0);
const sum = (files, name) => files.reduce((all, file) => all + (file[name] || 0), 0);
const startsFolded = (file) => file.binary || file.too_big || lines(file) > OPEN_LINES;

// Fetches the diff without lines first, to learn its size and its commit; then the lines.
function useDiff(job, worker, against) {
  const address = path("jobs", job, "diff");
  const stat = useQuery(address, { worker, against, stat: 1 });
  const [whole, setWhole] = useState(null);
  const small = stat.data && sum(stat.data.files, "additions") + sum(stat.data.files, "deletions") <= WHOLE_LINES;
  useEffect(() => {
    setWhole(null);
    if (!small) return undefined;
    const stopped = new AbortController();
    get(address, { worker, against }, { signal: stopped.signal })
      .then((diff) => setWhole(new Map(diff.files.map((file) => [file.path, file]))))
      .catch(() => {});
    return () => stopped.abort();
  }, [small, stat.data?.commit, worker, against]);
  const fetchFile = async (name) => {
    const diff = await get(address, { worker, against, path: name });
    return diff.files.find((file) => file.path === name);
  };
  return { ...stat, whole, small, fetchFile };
}

function Tree({ files, current, comments, viewed }) {
  const [typed, type] = useState("");
  const shown = files.filter((file) => file.path.toLowerCase().includes(typed.toLowerCase()));
  let before = "";
  const rows = shown.map((file) => {
    const cut = file.path.lastIndexOf("/");
    const folder = cut < 0 ? "" : file.path.slice(0, cut);
    const head = folder && folder !== before;
    before = folder;
    const own = comments.filter((each) => each.path === file.path).length;
    return html`${head && html`<li class="dir" key=${`d ${folder}`}><${Icon} name="i-folder" small /><span class="cut">${plain(folder)}</span></li>`}
      <li key=${file.path} class=${folder ? "in1" : ""}><a href=${`#${encodeURIComponent(file.path)}`} data-row
        aria-current=${current === file.path ? "true" : undefined}>
        <${Icon} name=${viewed.has(file.path) ? "i-check" : "i-file"} small /><span class="cut">${plain(file.path.slice(cut + 1))}</span>
        ${own ? html`<span class="chip">${own}<span class="sr"> comments</span></span>` : html`<span></span>`}<${PlusMinus} file=${file} /></a></li>`;
  });
  return html`<nav class="card files" aria-label="Changed files"><div class="logbar"><label class="find"><span class="sr">Find a file</span><${Icon} name="i-search" />
      <input class="in" type="search" placeholder=${`${many(files.length, "file")}, +${count(sum(files, "additions"))} −${count(sum(files, "deletions"))}`}
        value=${typed} onInput=${(event) => type(event.target.value)} /></label></div><ul class="tree pad-0">${rows}</ul></nav>`;
}

async function download(id, worker) {
  const body = await act(() => text(path("jobs", id, "diff"), { worker }, { headers: { Accept: "text/x-diff" } }));
  if (body !== null) save(`${worker || id}.patch`, body, "text/x-diff");
}

function Tools({ id, workers, worker, against, base, split, setSplit, viewed, files }) {
  const pick = (event) => note({ worker: event.target.value, against: "" });
  const other = workers.filter((each) => each.worker_id !== worker && each.task_id === workers.find((own) => own.worker_id === worker)?.task_id);
  const side = (name, word) => html`<button type="button" aria-pressed=${String((against || "base") === name)} onClick=${() => note({ against: name === "base" ? "" : name })}>${word}</button>`;
  return html`<div class="tools"><label class="lab" for="whose">Changes of</label>
    <select class="in w-auto" id="whose" value=${worker || ""} onChange=${pick}><option value="">the result</option>
      ${workers.map((each) => html`<option key=${each.worker_id} value=${each.worker_id}>${each.worker_id} · ${plain(each.title || each.agent)}</option>`)}</select>
    ${worker && html`<span class="lab hide-s">against</span><div class="seg-c" role="group" aria-label="Against">
      ${side("base", html`Base <span class="mono">${(base || "").slice(0, 7)}</span>`)}${side("result", "Result")}
      ${other.slice(0, 3).map((each) => side(each.worker_id, each.worker_id))}</div>`}
    <span class="fill"></span><span class="small soft num hide-s">${viewed.size} of ${files.length} viewed</span>
    <div class="seg-c hide-s" role="group" aria-label="Layout"><button type="button" aria-pressed=${String(!split)} onClick=${() => setSplit(false)}>Unified</button>
      <button type="button" aria-pressed=${String(split)} onClick=${() => setSplit(true)}>Split</button></div>
    <button type="button" class="btn hide-s" onClick=${() => download(id, worker)}><${Icon} name="i-download" />Patch</button></div>`;
}

const wide = () => window.innerWidth >= SPLIT_WIDTH;

function useWide() {
  const [is, set] = useState(wide());
  useEffect(() => {
    const changed = () => set(wide());
    addEventListener("resize", changed);
    return () => removeEventListener("resize", changed);
  }, []);
  return is;
}

// The files that a person has marked as viewed, for one commit.
function useViewed(commit) {
  const key = commit && `viewed ${commit}`;
  const [viewed, set] = useState(new Set());
  useEffect(() => set(new Set(JSON.parse((key && localStorage.getItem(key)) || "[]"))), [key]);
  const turn = (name) => {
    const next = new Set(viewed);
    if (!next.delete(name)) next.add(name);
    if (key) localStorage.setItem(key, JSON.stringify([...next]));
    set(next);
  };
  return [viewed, turn];
}

function useFileKeys(files, turnViewed) {
  const at = () => files.findIndex((file) => file.path === decoded(place.get().hash.slice(1)));
  const step = (by) => {
    const next = files[Math.min(Math.max(at() + by, 0), files.length - 1)];
    if (next) location.hash = encodeURIComponent(next.path);
  };
  useKeys({ "]": () => step(1), "[": () => step(-1), v: () => files[at()] && turnViewed(files[at()].path) });
}

function Files({ id, worker, workers, row, against, diff, refresh }) {
  const { files, commit, base } = diff.data;
  const [choice, setSplit] = useState(false);
  const split = useWide() && choice;
  const [viewed, turnViewed] = useViewed(commit);
  const remarks = useComments(id, worker, commit);
  const { hash } = useStore(place);
  useFileKeys(files, turnViewed);
  const mayComment = Boolean(worker) && (against || "base") === "base" && mayChange();
  const current = decoded(hash.slice(1));
  return html`<${Tools} id=${id} workers=${workers} worker=${worker} against=${against} base=${base} split=${split} setSplit=${setSplit}
      viewed=${viewed} files=${files} />
    ${!files.length && html`<section class="card"><${Empty} icon="i-diff" title="No file was changed">${worker ? "The worker changed no file." : "The result contains no changes."}<//></section>`}
    ${files.length > 0 && html`<div class="review"><${Tree} files=${files} current=${current} comments=${remarks.comments} viewed=${viewed} />
      <div class="stack">${files.map((file) => html`<${FileDiff} key=${`${commit} ${file.path}`} file=${file} known=${diff.whole?.get(file.path)}
        fetchFile=${diff.small ? null : diff.fetchFile} folded=${startsFolded(file)} viewed=${viewed.has(file.path)} turnViewed=${turnViewed}
        split=${split} remarks=${mayComment ? remarks : null} />`)}</div></div>`}
    ${worker && mayChange() && html`<${ReviewBar} key=${worker} id=${id} worker=${worker} row=${row} commit=${commit} remarks=${remarks} done=${refresh} />`}
    ${!worker && mayChange() && workers.length > 0 && html`<p class="foot"><span>To comment on lines and send the comments to a worker, <a class="link" href=${`?worker=${workers[0].worker_id}`}>show the changes of ${workers.length > 1 ? "one worker" : workers[0].worker_id}</a>.</span></p>`}`;
}

// The diff is fetched again when the worker, or the whole job, starts or ends.
function useTurns(model, worker, again) {
  const at = worker ? model.place.get(worker) : undefined;
  const turn = at === undefined ? model.status : `${model.state[at]} ${model.attempt[at]} ${model.status}`;
  const first = useRef(turn);
  useEffect(() => {
    if (first.current !== turn) again();
    first.current = turn;
  }, [turn]);
}

// A job without a merged result, for example while it runs: its workers may have changes.
function Unmerged({ error, job, rows }) {
  const changed = (rows.data?.workers || []).filter((each) => each.files > 0);
  const acts = changed.slice(0, MOST_LINKS).map((each) => html`<a class="btn" key=${each.worker_id} href=${`/jobs/${job}/changes?worker=${each.worker_id}`}>${each.worker_id} · ${many(each.files, "file")}</a>`);
  return html`<section class="card"><${Empty} icon="i-diff" title="No merged result" acts=${acts.length > 0 && acts}>${error.message}.
    ${acts.length > 0 && " These workers have changed files:"}<//></section>`;
}

function Changes({ id, model, changed }) {
  const { search } = useStore(place);
  const given = new URLSearchParams(search);
  const [worker, against, conflict] = ["worker", "against", "conflict"].map((name) => given.get(name) || undefined);
  const rows = useQuery(path("jobs", id, "workers"), { page_size: 500 });
  const diff = useDiff(id, worker, against);
  const refresh = () => { diff.refresh(); rows.refresh(); };
  useTurns(model, worker, refresh);
  if (conflict !== undefined) return html`<${Conflict} id=${id} worker=${conflict} model=${model} changed=${changed} />`;
  if (diff.error?.type === "no-repository") {
    return html`<section class="card"><${Empty} icon="i-diff" title="No changes to show">${diff.error.message}<//></section>`;
  }
  if (diff.error?.status === 409) return html`<${Unmerged} error=${diff.error} job=${id} rows=${rows} />`;
  if (diff.error) return html`<${Failure} error=${diff.error} back=${`/jobs/${id}`} />`;
  if (diff.loading || rows.loading) return html`<${Loading} what="the changes" />`;
  const workers = (rows.data?.workers || []).filter((each) => each.files > 0 || each.worker_id === worker);
  const row = (rows.data?.workers || []).find((each) => each.worker_id === worker);
  return html`<${Files} id=${id} worker=${worker} workers=${workers} row=${row} against=${against} diff=${diff} refresh=${refresh} />`;
}

export const View = ({ model, refresh }) => html`<${Changes} id=${model.job} model=${model} changed=${refresh} />`;
