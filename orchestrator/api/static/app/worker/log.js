// A worker's log: live, with colors, search, foldable sections, and a link to each line.
import { path } from "../core/api.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../core/html.js";
import { useKeys } from "../core/keys.js";
import { place } from "../core/router.js";
import { useStore } from "../core/store.js";
import { copy } from "../parts/copy.js";
import { Empty, Failure, Loading } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { scrollToRow, useWindow } from "../parts/rows.js";
import { attemptState, ENDED, State } from "../parts/state.js";
import { bare } from "../text/ansi.js";
import { bytes, count, many, plain, seconds } from "../text/format.js";
import { Line } from "./lines.js";
import { useLog } from "./logtext.js";

const LINE = 20;
// Maximum lines of a log that can wrap, because the height of a wrapped line is unknown beforehand.
const MOST_WRAPPED = 800;
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

// Returns the rows to draw: the index of a line, or a section {id, attempt | group}. Null: all lines.
function rowsOf(log, several, folded) {
  const marks = log.marks.filter((mark) => several || !mark.attempt);
  if (!marks.length) return null;
  const made = several && log.start === 0 ? [{ id: "attempt 1", attempt: 1 }] : [];
  const at = new Map(marks.map((mark) => [mark.at, mark]));
  let [closed, inner] = [folded.has("attempt 1"), false];
  log.lines.forEach((_, index) => {
    const mark = at.get(index);
    const id = mark && (mark.attempt ? `attempt ${mark.attempt}` : String(index));
    if (mark?.attempt) [closed, inner] = [folded.has(id), false];
    else if (mark) inner = !mark.end && folded.has(id);
    if (mark?.attempt || (mark && !mark.end && !closed)) made.push({ ...mark, id });
    else if (!mark && !closed && !inner) made.push(index);
  });
  return made;
}

function Section({ section, worker, open, turn }) {
  const { id, attempt: number, group } = section;
  const attempt = number && worker?.attempts?.find((each) => each.number === number);
  const isLast = number === worker?.attempts?.at(-1)?.number;
  const facts = number && [seconds(attempt?.seconds), attempt?.reason].filter((each) => each && each !== "–").join(" · ");
  return html`<button type="button" class="sec" aria-expanded=${String(open)} onClick=${() => turn(id)}><${Icon} name=${open ? "i-down" : "i-right"} small=${true} />
    <span class="strong">${number ? `Attempt ${number}` : plain(group) || "Section"}</span>${number && html`<${State} state=${attempt ? attemptState(attempt, worker.status, isLast) : "pending"} />`}
    <span class="fill"></span>${facts && html`<span class="num small">${plain(facts)}</span>`}</button>`;
}

function Row({ line, number, on, grouped, found, current, known }) {
  return html`<div id=${known ? `L${number}` : undefined} class=${[on && "on", grouped && "in-sec"].filter(Boolean).join(" ")}><a class="ln" href=${known ? `#L${number}` : undefined} tabindex="-1" data-line=${known ? number : undefined}
    >${known ? number : ""}</a><${Line} text=${line} found=${found} current=${current} /></div>`;
}

function Lines({ log, rows, folded, turn, search, worker, chosen, wrap, holder, from, to, before, after }) {
  const drawn = [];
  const known = log.start === 0;
  let next = 0;
  // The last mark before a line shows if the line is in a section.
  const isGrouped = (line) => {
    while (next < log.marks.length && log.marks[next].at < line) next += 1;
    const mark = log.marks[next - 1];
    return mark?.group !== undefined && !mark.end;
  };
  for (let k = from; k < to; k += 1) {
    const row = rows ? rows[k] : k;
    if (typeof row === "object") drawn.push(html`<${Section} key=${row.id} section=${row} worker=${worker} open=${!folded.has(row.id)} turn=${turn} />`);
    else {
      drawn.push(html`<${Row} key=${row} line=${log.lines[row]} number=${row + 1} on=${chosen === row + 1 || search.found[search.current] === row} grouped=${isGrouped(row)} known=${known}
        found=${search.word} current=${search.found[search.current] === row} />`);
    }
  }
  return html`<div class=${`log ${wrap ? "" : "nowrap-lines"}`} role="log" aria-live="off" aria-label=${`Output of ${worker?.worker_id || "the worker"}`} tabindex="0">
    <div class="plain" ref=${holder} style=${{ paddingTop: `${before}px`, paddingBottom: `${after}px` }}>${drawn}</div>
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
    <span class="small muted num hide-s">${many(log.lines.length, "line")}</span>
    <button class="btn sm" aria-pressed=${String(following)} onClick=${() => follow(!following)}>Follow<kbd class="hide-s">f</kbd></button>
    <button class="btn sm icon hide-s" aria-label="Wrap lines" aria-pressed=${String(wrap)} disabled=${log.lines.length > MOST_WRAPPED} onClick=${() => setWrap(!wrap)}><${Icon} name="i-wrap" /></button>
    ${url && html`<a class="btn sm icon hide-s" aria-label="Download the raw log" href=${url} download=${name}><${Icon} name="i-download" /></a>`}</div>`;
}

// Follows the end of the log until the user scrolls up, and again after the user scrolls to the end.
function useFollow(lines, running) {
  const [following, set] = useState(running);
  const last = useRef({ y: 0, tall: 0 });
  useLayoutEffect(() => {
    if (following && lines.length) scrollTo({ top: document.documentElement.scrollHeight });
  }, [following, lines.length]);
  useEffect(() => {
    // A page that becomes shorter also scrolls up, for example when the log is read again.
    const seen = () => {
      const now = { y: scrollY, tall: document.documentElement.scrollHeight };
      if (now.y < last.current.y - 4 && now.tall >= last.current.tall) set(false);
      last.current = now;
    };
    addEventListener("scroll", seen, { passive: true });
    return () => removeEventListener("scroll", seen);
  }, []);
  return [following, set];
}

// Scrolls to a line, which may be in a window of rows.
function useGoTo(rows, holder) {
  return (line) => {
    const element = document.getElementById(`L${line + 1}`);
    if (element) element.scrollIntoView({ block: "center" });
    else scrollToRow(holder.current, rows ? rows.indexOf(line) : line, LINE);
  };
}

// Shows the line that the address names: opens its section, and fetches earlier parts if needed.
function useChosen(log, goTo, unfold) {
  const chosen = numberOf(useStore(place).hash);
  const shown = useRef(0);
  useEffect(() => {
    if (!chosen || shown.current === chosen || log.loading) return;
    if (log.start > 0) return void log.earlier(true);
    if (log.lines.length < chosen) return;
    shown.current = chosen;
    unfold();
    goTo(chosen - 1);
  }, [chosen, log.lines.length, log.loading, log.start]);
  return chosen;
}

// A large log opens at its end. The shown lines do not move when earlier lines are loaded.
function useStill({ start, lines, loading }, chosen) {
  const before = useRef(null);
  useLayoutEffect(() => {
    const { start: known, n } = before.current || {};
    if (!loading) before.current = { start, n: lines.length };
    if (loading || chosen || !(start > 0 || known > 0)) return;
    if (known === undefined) scrollTo({ top: document.documentElement.scrollHeight });
    else if (start < known) scrollBy(0, (lines.length - n) * LINE);
  }, [start, lines.length, loading]);
}

// The closed sections; none during a search.
function useFolds() {
  const [folded, set] = useState(new Set());
  const turn = (id) => set((known) => {
    const next = new Set(known);
    if (!next.delete(id)) next.add(id);
    return next;
  });
  return { folded, turn, unfold: () => set((known) => (known.size ? new Set() : known)) };
}

const NONE = new Set();

const linkTo = (line) => `${location.origin}${location.pathname}#L${line}`;

export function Log({ job, id, worker }) {
  const url = path("jobs", job, "logs", id);
  const running = ["running", "waiting", "pending"].includes(worker?.status);
  const started = Boolean(worker?.started_at);
  const log = useLog(started ? url : null, running);
  const search = useSearch(log.lines);
  const [wanted, setWrap] = useState(true);
  const wrap = wanted && log.lines.length <= MOST_WRAPPED;
  const { folded: closed, turn, unfold } = useFolds();
  const folded = search.word ? NONE : closed;
  const several = worker?.attempts?.length > 1;
  const rows = useMemo(() => rowsOf(log, several, folded), [log.lines.length, log.start, log.marks, several, folded]);
  const shown = useWindow(rows ? rows.length : log.lines.length, LINE, { above: wrap ? MOST_WRAPPED * 2 : 200 });
  const goTo = useGoTo(rows, shown.holder);
  const chosen = useChosen(log, goTo, unfold);
  useStill(log, chosen);
  const [following, follow] = useFollow(log.lines, running && !chosen);
  useEffect(() => {
    const at = search.found[search.current];
    if (at === undefined) return;
    follow(false);
    goTo(at);
  }, [search.current, search.word]);
  useKeys({ f: () => follow(!following), y: () => chosen && void copy(linkTo(chosen), "Link copied") });
  const body = () => {
    if (!started) return html`<${Empty} icon="i-log" title="Not started">${ENDED.has(worker?.status) ? "The worker has not run, so it has no log." : "The log begins when the worker starts."}<//>`;
    if (log.error) return html`<div class="pad"><${Failure} error=${log.error} /></div>`;
    if (!log.loading && !log.lines.length) return html`<${Empty} icon="i-log" title="No output">${running ? "The worker has written nothing yet." : "The worker wrote nothing."}<//>`;
    if (!log.lines.length) return html`<${Loading} what="the log" />`;
    return html`${log.start !== 0 && html`<p class="note"><span class="grow">${log.start > 0
      ? `The log is large: its first ${bytes(log.start)} are not loaded. Line numbers appear when the whole log is loaded.`
      : "The log is large, so only its end is shown. The download has the whole log."}</span>
      ${log.start > 0 && html`<button type="button" class="btn sm" disabled=${log.busy} onClick=${() => log.earlier()}>Load earlier lines</button>
        <button type="button" class="btn sm" disabled=${log.busy} onClick=${() => log.earlier(true)}>Load the whole log, to search it</button>`}</p>`}
      <${Lines} log=${log} rows=${rows} folded=${folded} turn=${turn} search=${search} worker=${worker} chosen=${chosen} wrap=${wrap} ...${shown} />`;
  };
  return html`<section class="card" aria-label="Log"><${Bar} log=${log} search=${search} following=${following} follow=${follow} wrap=${wrap} setWrap=${setWrap}
    running=${running && started} url=${started ? url : ""} name=${`${job}_${id}.log`} />${body()}</section>`;
}
