// A worker's log: live, with colours, search, and a link to each line.
import { path } from "../core/api.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../core/html.js";
import { useKeys } from "../core/keys.js";
import { go, place } from "../core/router.js";
import { useStore } from "../core/store.js";
import { Empty, Failure } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { scrollToRow, useWindow } from "../parts/rows.js";
import { State } from "../parts/state.js";
import { say } from "../parts/toast.js";
import { bare } from "../text/ansi.js";
import { count, seconds } from "../text/format.js";
import { Line } from "./lines.js";
import { useLog } from "./logtext.js";

const LINE = 20;
// Wrapped lines have no height that is known before: only logs of some hundred lines wrap.
const MOST_WRAPPED = 800;
const ATTEMPT = /^--- attempt (\d+) ---$/;

const numberOf = (hash) => Number(/^#L(\d+)$/.exec(hash)?.[1]) || 0;

function useSearch(lines) {
  const [typed, type] = useState("");
  const [at, set] = useState(0);
  const word = typed.toLowerCase();
  const found = useMemo(() => {
    const made = [];
    if (word) lines.forEach((line, index) => bare(line).toLowerCase().includes(word) && made.push(index));
    return made;
  }, [word, lines.length]);
  const current = found.length ? Math.min(at, found.length - 1) : -1;
  const next = (by) => found.length && set((current + by + found.length) % found.length);
  return { typed, word, found, current, next, type: (value) => { type(value); set(0); } };
}

function Section({ number, worker, first }) {
  const attempt = worker?.attempts?.find((each) => each.number === number);
  const isLast = number === worker?.attempts?.at(-1)?.number;
  const state = !attempt ? "pending" : isLast ? worker.status : "failed";
  return html`<section class="sec" aria-label=${`Attempt ${number}`} data-first=${first}><span class="strong">Attempt ${number}</span><${State} state=${state} /><span class="fill"></span>
    <span class="num small">${[seconds(attempt?.seconds), attempt?.reason].filter((each) => each && each !== "–").join(" · ")}</span></section>`;
}

function Row({ line, number, on, found, current, known }) {
  return html`<div id=${known ? `L${number}` : undefined} class=${on ? "on" : ""}><a class="ln" href=${known ? `#L${number}` : undefined} tabindex="-1" data-line=${known ? number : undefined}
    >${known ? number : ""}</a><${Line} text=${line} found=${found} current=${current} /></div>`;
}

function Lines({ log, search, worker, chosen, wrap, holder, from, to, before, after }) {
  const several = worker?.attempts?.length > 1;
  const rows = [];
  if (several && from === 0) rows.push(html`<${Section} key="a1" number=${1} worker=${worker} first="1" />`);
  for (let k = from; k < to; k += 1) {
    const attempt = several && wrap && ATTEMPT.exec(log.lines[k]);
    if (attempt) rows.push(html`<${Section} key=${`a${attempt[1]}`} number=${Number(attempt[1])} worker=${worker} />`);
    else {
      rows.push(html`<${Row} key=${k} line=${log.lines[k]} number=${k + 1} on=${chosen === k + 1} known=${!log.isEnd}
        found=${search.word} current=${search.found[search.current] === k} />`);
    }
  }
  return html`<div class=${`log ${wrap ? "" : "nowrap-lines"}`} role="log" aria-live="off" aria-label=${`Output of ${worker?.worker_id || "the worker"}`} tabindex="0">
    <div class="plain" ref=${holder} style=${{ paddingTop: `${before}px`, paddingBottom: `${after}px` }}>${rows}</div>
    ${worker?.status === "running" && html`<div><span class="ln"></span><span class="tx"><span class="caret"></span></span></div>`}</div>`;
}

function Bar({ log, search, following, follow, wrap, setWrap, running, url, name }) {
  const typed = (event) => {
    if (event.key === "Enter") search.next(event.shiftKey ? -1 : 1);
  };
  return html`<div class="logbar"><label class="find"><span class="sr">Search the log</span><${Icon} name="i-search" /><input class="in" type="search" placeholder="Search"
      value=${search.typed} onInput=${(event) => search.type(event.target.value)} onKeyDown=${typed} /><kbd class="hide-s">/</kbd></label>
    ${search.word && html`<span class="small soft num" role="status">${search.found.length ? `${search.current + 1} of ${count(search.found.length)}` : "no match"}</span>
      <button class="btn sm icon ghost" aria-label="Previous match" onClick=${() => search.next(-1)}>↑</button><button class="btn sm icon ghost" aria-label="Next match" onClick=${() => search.next(1)}>↓</button>`}
    <span class="fill"></span>${running && html`<span class="live">live</span>`}
    <span class="small muted num hide-s">${count(log.lines.length)} lines</span>
    <button class="btn sm" aria-pressed=${String(following)} onClick=${() => follow(!following)}>Follow<kbd class="hide-s">f</kbd></button>
    <button class="btn sm icon hide-s" aria-label="Wrap lines" aria-pressed=${String(wrap)} disabled=${log.lines.length > MOST_WRAPPED} onClick=${() => setWrap(!wrap)}><${Icon} name="i-wrap" /></button>
    <a class="btn sm icon hide-s" aria-label="Download the raw log" href=${url} download=${name}><${Icon} name="i-download" /></a></div>`;
}

// Follows the end until one scrolls up, and again when one is back at the end.
function useFollow(lines, running) {
  const [following, set] = useState(running);
  const last = useRef(0);
  useLayoutEffect(() => {
    if (following && lines.length) scrollTo({ top: document.documentElement.scrollHeight });
  }, [following, lines.length]);
  useEffect(() => {
    const seen = () => {
      if (scrollY < last.current - 4) set(false);
      last.current = scrollY;
    };
    addEventListener("scroll", seen, { passive: true });
    return () => removeEventListener("scroll", seen);
  }, []);
  return [following, set];
}

function useChosen(log, holder, wrap) {
  const chosen = numberOf(useStore(place).hash);
  const shown = useRef(0);
  useEffect(() => {
    if (!chosen || shown.current === chosen || log.lines.length < chosen) return;
    shown.current = chosen;
    const element = document.getElementById(`L${chosen}`);
    if (element) element.scrollIntoView({ block: "center" });
    else scrollToRow(holder.current, chosen - 1, LINE);
  }, [chosen, log.lines.length, wrap]);
  return chosen;
}

function copy(line) {
  const link = `${location.origin}${location.pathname}#L${line}`;
  navigator.clipboard?.writeText(link).then(() => say("Link copied"), () => say(link));
}

export function Log({ job, id, worker }) {
  const url = path("jobs", job, "logs", id);
  const running = ["running", "waiting", "pending"].includes(worker?.status);
  const started = Boolean(worker?.started_at);
  const log = useLog(started ? url : null, running);
  const search = useSearch(log.lines);
  const [wanted, setWrap] = useState(true);
  const wrap = wanted && log.lines.length <= MOST_WRAPPED;
  const rows = useWindow(log.lines.length, LINE, { above: wrap ? MOST_WRAPPED : 200 });
  const chosen = useChosen(log, rows.holder, wrap);
  const [following, follow] = useFollow(log.lines, running && !chosen);
  useEffect(() => {
    const at = search.found[search.current];
    if (at === undefined) return;
    follow(false);
    const element = document.getElementById(`L${at + 1}`);
    if (element) element.scrollIntoView({ block: "center" });
    else scrollToRow(rows.holder.current, at, LINE);
  }, [search.current, search.word]);
  useKeys({ f: () => follow(!following), y: () => chosen && copy(chosen) });
  const body = () => {
    if (!started) return html`<${Empty} icon="i-log" title="Not started">The log begins with the worker.<//>`;
    if (log.error) return html`<div class="pad"><${Failure} error=${log.error} /></div>`;
    if (!log.loading && !log.lines.length) return html`<${Empty} icon="i-log" title="No output">${running ? "Nothing was written yet." : "The worker wrote nothing."}<//>`;
    return html`${log.isEnd && html`<p class="note"><span class="grow">The log is large: here is its end. The whole of it is in the download.</span></p>`}
      <${Lines} log=${log} search=${search} worker=${worker} chosen=${chosen} wrap=${wrap} ...${rows} />`;
  };
  return html`<section class="card" aria-label="Log"><${Bar} log=${log} search=${search} following=${following} follow=${follow} wrap=${wrap} setWrap=${setWrap}
    running=${running && started} url=${url} name=${`${job}_${id}.log`} />${body()}</section>`;
}
