// The view Graph: tasks and their dependencies. Up to 300 tasks as boxes, more by rank (largejob.js).
import { path } from "../core/api.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../core/html.js";
import { useKeys } from "../core/keys.js";
import { useQuery } from "../core/query.js";
import { go } from "../core/router.js";
import { Icon, sprite } from "../parts/icon.js";
import { Bar, countsAsText, Mark } from "../parts/state.js";
import { cut, many, money, plain, seconds } from "../text/format.js";
import { brief, facts, workerPath } from "./workersummary.js";
import { LargeJob } from "./largejob.js";
import { commonName, groupKey, layout, MOST_IN_COLUMN, MOST_IN_GROUP, ranked, stops, wanted } from "./layout.js";
import { Panel } from "./panel.js";

const MOST_TASKS = 300;
const OPEN_BELOW = 13;
const LAST = { gap: 28, width: 216 };
// The smallest scale of a graph that then fits into its canvas. A wider graph scrolls.
const SMALLEST = 0.8;
// Numbers of characters that fit into the two lines of a box.
const roomOf = (width) => [Math.floor((width - 48) / 7.2), Math.floor((width - 48) / 6.1)];
const RANKS = ["First", "Then"];

const GHOSTS = new Set(["pending", "skipped", "cancelled"]);

// The two lines of a box. Text is clipped at the box, because its width is only an estimate.
const Lines = ({ x, y, width, lines }) => html`<svg x=${x} y=${y} width=${width} height="52"><text class="l1" y="21">${lines[0]}</text>${" "}<text
  class="l2" y="38">${lines[1]}</text></svg>`;

// `inGroup`: the child jobs of the worker are not below its box.
function Node({ model, node, selected, select, inGroup }) {
  const { i } = node;
  const state = model.state[i];
  const name = plain(model.name(i));
  const [room, roomBelow] = roomOf(node.width);
  const line = model.reason[i] && state !== "success" ? plain(model.reason[i]) : brief(model, i);
  const why = inGroup && model.children.has(i) ? `${many(model.children.get(i).length, "child job")} · ${line}` : line;
  const open = (event) => { event.preventDefault(); select(i); };
  return html`<a class=${`node st-${state} ${GHOSTS.has(state) ? "ghost" : ""} ${selected ? "sel" : ""}`} href=${workerPath(model, i)}
      tabindex=${selected ? 0 : -1} data-node=${i} onClick=${open} aria-label=${`${cut(name, room)} ${cut(why, roomBelow)}, ${state}`}>
    <rect x=${node.x} y=${node.y} width=${node.width} height=${node.height} rx="8" />
    <svg x=${node.x + 12} y=${node.y + 18} width="16" height="16"><use href=${`${sprite}#s-${state}`} class=${state === "running" ? "spin" : ""} /></svg>
    <${Lines} x=${node.x + 38} y=${node.y} width=${node.width - 42} lines=${[cut(name, room), cut(why, roomBelow)]} /></a>`;
}

// A click opens the worker; with `select`, it selects the worker.
function Chip({ model, chip, selected, select }) {
  const state = model.state[chip.i];
  const open = select && ((event) => { event.preventDefault(); select(chip.i); });
  return html`<a class=${`node st-${state} ${GHOSTS.has(state) ? "ghost" : ""} ${selected ? "sel" : ""}`} href=${workerPath(model, chip.i)} tabindex=${selected ? 0 : -1} data-node=${select ? chip.i : undefined}
      onClick=${open} aria-label=${`${plain(chip.name)}: ${state}`}>
    <rect x=${chip.x} y=${chip.y} width=${chip.width} height=${chip.height} rx="6" />
    <svg x=${chip.x + 9} y=${chip.y + 9} width="14" height="14"><use href=${`${sprite}#s-${state}`} class=${state === "running" ? "spin" : ""} /></svg>
    <text x=${chip.x + 30} y=${chip.y + 20.5} class="l3">${plain(chip.name)}</text></a>`;
}

function Child({ model, child, toggle }) {
  const job = model.jobs[child.job];
  const words = `${child.open ? "▾" : "▸"} Child job ${job.job_id} · ${many(model.members[child.job].length, "worker")} · ${job.status}`;
  return html`<g><text class="lab press" x="12" y=${child.y} onClick=${() => toggle(child.job)}>${words}</text>
    ${child.chips.map((chip) => html`<${Chip} key=${chip.i} model=${model} chip=${chip} />`)}</g>`;
}

// The number of tasks in each state, as a bar and as text; boxes of failed and running tasks; and all tasks on demand.
function Group({ model, box, selected, select, toggle }) {
  const { unit, width, nodes } = box;
  const counts = {};
  for (const i of unit.workers) counts[model.state[i]] = (counts[model.state[i]] || 0) + 1;
  const press = () => toggle(groupKey(unit));
  const keys = (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    press();
  };
  const tasks = many(unit.group.length, "task");
  const name = plain(commonName(model, unit.group));
  const word = box.toggle.isWhole ? "Show fewer tasks" : `Show all ${tasks}`;
  const room = Math.floor((width - 24) / 7.2) - tasks.length - 3;
  return html`<g transform=${`translate(${box.x} ${box.y})`}><rect class="frame" width=${width} height=${box.height} rx="10" />
    <text class="l1" x="12" y="21">${cut(name, room)} · ${tasks}</text>
    <svg x="12" y="29" width=${width - 24} height="6"><${Bar} counts=${counts} label=${countsAsText(counts)} /></svg>
    <text class="l2" x="12" y="51">${cut(countsAsText(counts), Math.floor((width - 24) / 6))}</text>
    ${nodes.map((node) => html`<${Node} key=${node.i} model=${model} node=${{ ...node, width: width - 20 }} selected=${selected === node.i} select=${select} inGroup=${true} />`)}
    <text class="lab press" x="12" y=${box.toggle.y} role="button" tabindex="0" aria-expanded=${String(box.toggle.isWhole)} aria-label=${`${word}: ${name}`} onClick=${press} onKeyDown=${keys}>${box.toggle.isWhole ? "▾" : "▸"} ${word}</text>
    ${box.chips.map((chip) => html`<${Chip} key=${chip.i} model=${model} chip=${chip} selected=${selected === chip.i} select=${select} />`)}</g>`;
}

function Unit({ model, box, selected, select, toggle }) {
  if (box.unit.group) return html`<${Group} model=${model} box=${box} selected=${selected} select=${select} toggle=${toggle} />`;
  const several = box.unit.workers.length > 1;
  const chosen = box.unit.workers.find((i) => model.chosen[i] === true);
  const choice = chosen === undefined ? "one will be chosen" : `${model.id[chosen]} is chosen`;
  const title = `${cut(plain(model.name(box.unit.workers[0])), 16)} · ${box.unit.workers.length} candidates, ${choice}`;
  return html`<g transform=${`translate(${box.x} ${box.y})`}>
    ${box.framed && html`<rect class="frame" width=${box.width} height=${box.height} rx="10" />`}
    ${several && html`<text class="lab" x="12" y="19"><a href=${`/jobs/${model.job}/t/${encodeURIComponent(box.unit.task)}`} tabindex="-1">${title}</a></text>`}
    ${box.nodes.map((node) => html`<${Node} key=${node.i} model=${model} node=${{ ...node, width: several || box.framed ? box.width - 20 : box.width }}
      selected=${selected === node.i} select=${select} />`)}
    ${box.children.map((child) => html`<${Child} key=${child.job} model=${model} child=${child} toggle=${toggle} />`)}</g>`;
}

function edgeClass(model, edge) {
  const [from, to] = [edge.from.workers, edge.to.workers];
  if (from.some((i) => model.chain.has(i)) && to.some((i) => model.chain.has(i))) return "crit";
  if (from.some((i) => model.state[i] === "running")) return "live";
  if (to.every((i) => ["skipped", "cancelled"].includes(model.state[i]))) return "dead";
  return "";
}

function bend({ x1, y1, x2, y2, stops: passed }) {
  let [drawn, x, y] = [`M${x1} ${y1}`, x1, y1];
  for (const next of [...passed, { x: x2, y: y2, width: 0 }]) {
    const middle = (x + next.x) / 2;
    drawn += `C${middle} ${y} ${middle} ${next.y} ${next.x} ${next.y}h${next.width}`;
    [x, y] = [next.x + next.width, next.y];
  }
  return drawn;
}

// The workers that the arrow keys reach in a box. A closed group without boxes has only its first worker.
const drawnIn = (box) => {
  const drawn = box.unit.group ? [...box.nodes, ...box.chips].map(({ i }) => i) : box.unit.workers;
  return drawn.length ? drawn : [box.unit.workers[0]];
};

// Arrow keys: up and down within a rank, left and right along the edges.
function moved(drawn, selected, key) {
  const boxes = drawn.boxes;
  const at = boxes.find((box) => box.unit.workers.includes(selected)) || boxes[0];
  if (!at) return selected;
  const within = boxes.filter((box) => box.rank === at.rank).sort((a, b) => a.y - b.y).flatMap(drawnIn);
  if (key === "ArrowUp" || key === "ArrowDown") {
    const place = within.includes(selected) ? within.indexOf(selected) : within.indexOf(drawnIn(at)[0]);
    return within[place + (key === "ArrowUp" ? -1 : 1)] ?? selected;
  }
  const edge = drawn.edges.find((each) => (key === "ArrowRight" ? each.from : each.to) === at.unit);
  const next = edge && (key === "ArrowRight" ? edge.to : edge.from);
  return next ? drawnIn(boxes.find((box) => box.unit === next))[0] : selected;
}

function useArrows(drawn, selected, select, toggle, model) {
  const arrow = (event) => {
    if (!event.target.closest?.(".canvas")) return false;
    const next = moved(drawn, selected, event.key);
    select(next);
    requestAnimationFrame(() => document.querySelector(`[data-node="${next}"]`)?.focus());
    return true;
  };
  const child = () => model.children.get(selected)?.forEach(toggle);
  useKeys({ ArrowUp: arrow, ArrowDown: arrow, ArrowLeft: arrow, ArrowRight: arrow, o: child, Enter: (event) => event.target.closest?.("[data-node]") ? go(workerPath(model, selected)) : false });
}

const OUTCOMES = [["failed", "failed"], ["did_not_run", "not run"], ["passed", "passed"]];

// The number of gates with the worst outcome, because the box has room for one number.
function judged(gates) {
  const [outcome, words] = OUTCOMES.find(([name]) => gates.some((gate) => gate.outcome === name)) || [];
  return outcome ? `${many(gates.filter((gate) => gate.outcome === outcome).length, "gate")} ${words}` : "";
}

// The state of the merge of the workers' branches, with its gates; null without a merge, and until the job has ended.
// Until the server has sent the state, the box has no text. Without the box, the graph would move when the box appears.
function useMerge(model, details) {
  const hasEnded = details?.config?.base && details.merge_state && !model.isActive;
  const given = useQuery(hasEnded ? path("jobs", model.job, "conflicts") : null, {});
  useEffect(() => { given.refresh(); }, [model.status, details?.merge_state]);
  if (hasEnded && given.loading && details.merge_state !== "none") return { state: "pending", words: "" };
  if (!hasEnded || !given.data) return null;
  const { merged, gates, merging, conflicts, missing } = given.data;
  if (merging) return { state: "running", words: "merging branches" };
  if (details.merge_state === "none") return null;
  const lacks = missing.length || conflicts.filter((each) => !each.resolved).length;
  const words = [lacks ? `lacks ${many(lacks, "change")}` : many(merged.length, "branch", "branches"), judged(gates)].filter(Boolean).join(" · ");
  return { state: details.merge_state === "merged" ? "success" : "failed", words };
}

// The box of the merge, with an edge from each task on which no other task depends.
function Last({ model, drawn, merge }) {
  const feeding = drawn.boxes.filter((box) => !drawn.edges.some((edge) => edge.from === box.unit) && box.unit.workers.some((i) => model.state[i] !== "skipped"));
  const middle = feeding.reduce((sum, box) => sum + box.y + box.height / 2, 0) / (feeding.length || 1);
  const words = cut(plain(merge.words), roomOf(LAST.width)[1]);
  const place = { x: drawn.width + LAST.gap, y: Math.max(34, (middle || 60) - 26) };
  const edge = (box) => {
    const line = { x1: box.x + box.width, y1: box.y + 26, x2: place.x, y2: place.y + 26 };
    return bend({ ...line, stops: stops(drawn.stacks, line, box.rank, drawn.stacks.length) });
  };
  return html`<g><text class="lab" x=${place.x} y="22">AT THE END</text>
    ${feeding.map((box) => html`<path key=${box.unit.task} class=${`edge ${merge.state === "pending" ? "" : "done"}`} d=${edge(box)} />`)}
    <a class=${`node st-${merge.state} ${merge.state === "pending" ? "ghost" : ""}`} href=${`/jobs/${model.job}/changes`} tabindex="-1" aria-label=${`Merge and gates ${words}, ${merge.state}`}>
      <rect x=${place.x} y=${place.y} width=${LAST.width} height="52" rx="8" />
      <svg x=${place.x + 12} y=${place.y + 18} width="16" height="16"><use href=${`${sprite}#s-${merge.state}`} class=${merge.state === "running" ? "spin" : ""} /></svg>
      <${Lines} x=${place.x + 38} y=${place.y} width=${LAST.width - 42} lines=${["Merge and gates", words]} /></a></g>`;
}

// On a phone: the ranks as lists. A long list begins with failed and running tasks, and has a button for the others.
function Rank({ model, column, rank }) {
  const [whole, showAll] = useState(false);
  const workers = column.flatMap((unit) => unit.workers);
  const isLong = column.length > MOST_IN_COLUMN;
  const first = isLong ? wanted(model, workers) : [];
  const sorted = [...first, ...workers.filter((i) => !first.includes(i))];
  const shown = isLong && !whole ? sorted.slice(0, Math.max(MOST_IN_GROUP, Math.min(first.length, MOST_IN_COLUMN))) : sorted;
  return html`<section class="card"><header><h2>${rankName(rank)}</h2><span class="small muted">${many(column.length, "task")}</span></header><ul class="list">
    ${shown.map((i) => html`<li key=${i}><${Mark} state=${model.state[i]} /><a class="grow cut" href=${workerPath(model, i)}>
      <span class="strong">${plain(model.name(i))}</span><br /><span class="small muted">${model.reason[i] && model.state[i] !== "success" ? plain(model.reason[i]) : facts(model, i)}</span></a>
      ${model.children.get(i) && html`<span class="chip">${many(model.children.get(i).length, "child job")}</span>`}<${Icon} name="i-right" small=${true} /></li>`)}
    ${shown.length < sorted.length && html`<li><button type="button" class="btn sm" onClick=${() => showAll(true)}>Show all ${many(column.length, "task")}</button></li>`}</ul></section>`;
}

function Ranks({ model, columns, merge }) {
  return html`<div class="ranks">${columns.map((column, rank) => html`<${Rank} key=${rank} model=${model} column=${column} rank=${rank} />`)}
    ${merge && html`<section class="card"><header><h2>At the end</h2></header><ul class="list"><li><${Mark} state=${merge.state} /><a class="grow cut" href=${`/jobs/${model.job}/changes`}><span class="strong">Merge and gates</span><br />
      <span class="small muted">${plain(merge.words)}</span></a><${Icon} name="i-right" small=${true} /></li></ul></section>`}</div>`;
}

const rankName = (rank) => RANKS[rank] || `Step ${rank + 1}`;

export function View({ model, details, refresh }) {
  const tasks = useMemo(() => new Set(model.members[0].map((i) => model.task[i])).size, [model.n]);
  if (tasks > MOST_TASKS) return html`<${LargeJob} model=${model} refresh=${refresh} />`;
  return html`<${Graph} model=${model} tasks=${tasks} details=${details} refresh=${refresh} />`;
}

// `space`: the width of the canvas. `continues`: the canvas hides a part of the graph at its right edge.
function useCanvas() {
  const canvas = useRef(null);
  const [space, setSpace] = useState(0);
  const [continues, setContinues] = useState(false);
  const measure = () => {
    const { scrollLeft, clientWidth, scrollWidth } = canvas.current;
    setSpace(clientWidth);
    setContinues(scrollLeft + clientWidth < scrollWidth - 1);
  };
  useLayoutEffect(() => {
    const resized = new ResizeObserver(measure);
    resized.observe(canvas.current);
    return () => resized.disconnect();
  }, []);
  useLayoutEffect(measure);
  return { canvas, space, continues, measure };
}

// The worker that is selected at first.
const first = (model) => ["failed", "running", "timeout", "waiting", "pending"].map((state) => model.members[0].find((i) => model.state[i] === state))
  .find((i) => i !== undefined) ?? model.members[0][0];

function Graph({ model, tasks, details, refresh }) {
  const [chosen, select] = useState(null);
  const [left, showLeft] = useState(false);
  const [turned, setTurned] = useState(() => new Set());
  // A key is the index of a child job, or the key of a group. Small child jobs are open at first; groups are closed.
  const isOpen = (key) => turned.has(key) !== (model.members[key]?.length < OPEN_BELOW);
  const toggle = (key) => setTurned((known) => {
    const next = new Set(known);
    if (!next.delete(key)) next.add(key);
    return next;
  });
  const isShown = (unit) => !left || unit.workers.some((i) => model.state[i] !== "success");
  const drawn = layout(model, isOpen, chosen, isShown);
  const merge = useMerge(model, details);
  const wide = drawn.width + (merge ? LAST.gap + LAST.width + 10 : 0);
  const selected = chosen ?? first(model);
  const { canvas, space, continues, measure } = useCanvas();
  useArrows(drawn, selected, select, toggle, model);
  return html`<div class="cols"><div><div ref=${canvas} onScroll=${measure} class=${`canvas ${continues ? "continues" : ""}`} role="group" aria-label="Graph of the job: ${many(tasks, "task")} and their dependencies">
      <div class="floater"><div class="seg-c" role="group" aria-label="Which tasks"><button aria-pressed=${String(!left)} onClick=${() => showLeft(false)}>All tasks</button>
        <button aria-pressed=${String(left)} onClick=${() => showLeft(true)}>Without successful tasks</button></div></div>
      ${!drawn.boxes.length && html`<p class="pad soft small">All tasks succeeded.</p>`}
      <svg class="dag" width=${wide} height=${drawn.height} viewBox=${`0 0 ${wide} ${drawn.height}`}
          style=${SMALLEST * wide <= space ? { maxWidth: "100%", height: "auto" } : {}}>
        ${drawn.stacks.map((stack, rank) => stack.length > 0 && html`<text key=${rank} class="lab" x=${stack[0].x} y="22">${rankName(rank).toUpperCase()}</text>`)}
        <g>${drawn.edges.map((edge) =>
          html`<path key=${`${edge.from.task}>${edge.to.task}`} class=${`edge ${edgeClass(model, edge)}`} d=${bend(edge)} />`)}</g>
        ${merge && html`<${Last} model=${model} drawn=${drawn} merge=${merge} />`}
        ${drawn.boxes.map((box) => html`<${Unit} key=${box.unit.task} model=${model} box=${box} selected=${selected} select=${select} toggle=${toggle} />`)}</svg></div>
    <${Ranks} model=${model} columns=${ranked(model)} merge=${merge} />
    <p class="foot hide-s"><span><kbd>←</kbd> <kbd>→</kbd> along the edges · <kbd>↑</kbd> <kbd>↓</kbd> within a column · <kbd>o</kbd> open or close a child job</span><span>Thick lines: the critical path</span></p></div>
    ${selected !== undefined && html`<${Panel} model=${model} i=${selected} refresh=${refresh} />`}</div>`;
}
