// The page Costs: cost by day, and by agent, model, job, or label.
import { html, useEffect, useMemo, useRef } from "../core/html.js";
import { useQuery } from "../core/query.js";
import { note, place } from "../core/router.js";
import { useStore } from "../core/store.js";
import { csv, save } from "../parts/download.js";
import { Empty, Failure, Loading } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { Title } from "../parts/title.js";
import { count, many, money, plain, tokens } from "../text/format.js";
import { color, redrawn } from "../job/canvas.js";
import uPlot from "../../vendor/uplot.js";

const RANGES = { 1: "24 h", 14: "14 days", 90: "90 days" };
const BY = { agent: "Agent", model: "Model", job: "Job" };
const LABEL = /^label:.+/;
// The selectable labels are those of the latest jobs.
const LATEST = { depth: 0, page_size: 200 };
const titleOf = (by) => BY[by] || plain(by.slice(6));
// Commands use no model. Workers of earlier versions have a model only if their task names one.
const unnamed = (by) => (LABEL.test(by) ? "without this label" : by === "model" ? "no known model" : "unknown");
const DAY_MS = 86400000;
const SERIES = ["c1", "c2", "c3", "c4", "c5"];
const HEIGHT = 240;
const MOST_SERIES = 5;

const dayStart = (days) => {
  const today = new Date();
  return new Date(today.getFullYear(), today.getMonth(), today.getDate() - days + 1);
};
const sum = (rows, name) => rows.reduce((all, row) => all + (row[name] || 0), 0);
const known = (rows) => rows.some((row) => row.cost_usd !== undefined && row.cost_usd !== null);
// "–" if no tokens or cost were reported, as for commands and for questions that people answered.
const costOf = (rows) => money(known(rows) ? sum(rows, "cost_usd") : undefined, rows.some((row) => row.partial) ? "unknown" : "–");

// Returns days or hours as rows [time, cost of each key]; the last key is the sum of the small keys.
function table(rows, keys, since, step) {
  const times = [];
  for (let at = since.getTime(); at <= Date.now(); at += step) times.push(at / 1000);
  const columns = keys.map(() => times.map(() => 0));
  for (const row of rows) {
    const place = Math.floor((Date.parse(row.at) - since.getTime()) / step);
    const named = keys.indexOf(row.key);
    const column = named < 0 ? keys.length - 1 : named;
    if (place >= 0 && place < times.length) columns[column][place] += row.cost_usd || 0;
  }
  return [times, ...columns];
}

function keysOf(rows) {
  const costs = new Map();
  for (const row of rows) costs.set(row.key, (costs.get(row.key) || 0) + (row.cost_usd || 0));
  const all = [...costs.entries()].sort((one, other) => other[1] - one[1]).map(([key]) => key);
  return all.length > MOST_SERIES ? [...all.slice(0, MOST_SERIES - 1), "others"] : all;
}

// Stacks the series: each value includes the series before it. The topmost series is drawn first.
function stacked([times, ...columns]) {
  const heights = times.map(() => 0);
  const made = columns.map((column) => column.map((value, at) => (heights[at] += value)));
  return [times, ...made.reverse()];
}

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim() || "#888";

// As many digits as the step of the axis has, at least two.
const digits = ([first, second = first]) => [2, 3, 4, 5].find((n) => Math.abs((second - first) * 10 ** n - Math.round((second - first) * 10 ** n)) < 1e-6) ?? 6;

function options(keys, width) {
  const bars = uPlot.paths.bars({ size: [0.6, 40] });
  const hues = keys.map((_, at) => color(SERIES[at % SERIES.length])).reverse();
  const axis = { stroke: color("text-3"), grid: { stroke: color("line"), width: 1 }, ticks: { show: false }, font: `11px ${css("--sans")}` };
  return {
    width, height: HEIGHT, legend: { show: false }, cursor: { show: false },
    scales: { y: { range: (_, low, high) => [0, Math.max(high, 0.01)] } },
    axes: [{ ...axis, grid: { show: false } }, { ...axis, size: 56, values: (_, values) => values.map((value) => `$${value.toFixed(digits(values))}`) }],
    series: [{}, ...hues.map((fill) => ({ fill, stroke: fill, width: 0, paths: bars, points: { show: false } }))],
  };
}

function Chart({ rows, keys, since, step, label }) {
  const holder = useRef(null);
  const data = useMemo(() => stacked(table(rows, keys, since, step)), [rows]);
  useEffect(() => {
    let plot = null;
    const draw = () => {
      if (!holder.current) return;
      plot?.destroy();
      plot = new uPlot(options(keys, holder.current.clientWidth), data, holder.current);
    };
    draw();
    const end = redrawn(draw);
    return () => { end(); plot.destroy(); };
  }, [data]);
  return html`<div class="timeplot" ref=${holder} role="img" aria-label=${label}></div>`;
}

const Key = ({ keys, rows, by }) => html`<ul class="legend">${keys.map((key, at) => {
  const cost = costOf(rows.filter((row) => (key === "others" ? !keys.includes(row.key) : row.key === key)));
  return html`<li key=${key}><span class=${`key k${(at % SERIES.length) + 1}`} aria-hidden="true"></span>${plain(key) || unnamed(by)} <b class="num">${cost}</b></li>`;
})}</ul>`;

function Tiles({ rows, days }) {
  const today = rows.filter((row) => Date.parse(row.at) >= dayStart(1).getTime());
  const good = sum(rows, "succeeded");
  const missing = sum(rows, "incomplete");
  const cost = known(rows) ? sum(rows, "cost_usd") : undefined;
  const tile = (word, value, more) => html`<div class="card tile"><span class="lab">${word}</span><b>${value}</b><span class="small muted">${more}</span></div>`;
  return html`<div class="tiles">${tile("Today", costOf(today), many(sum(today, "workers"), "worker"))}
    ${tile(RANGES[days], costOf(rows), `${tokens(sum(rows, "tokens_in") + sum(rows, "tokens_out"))} tokens`)}
    ${tile("Cost per successful worker", good && cost !== undefined ? money(cost / good) : "–", `${count(good)} of ${count(sum(rows, "ended"))} succeeded`)}
    ${tile("Unknown cost", many(missing, "worker"), missing ? "not fully included in these sums" : known(rows) ? "all costs are known" : "commands have no cost")}</div>`;
}

const COLUMNS = ["at", "key", "jobs", "workers", "ended", "succeeded", "tokens_in", "tokens_out", "cache_read", "cost_usd", "estimated", "partial", "incomplete"];
const download = (rows) => save("costs.csv", csv(COLUMNS, rows.map((row) => COLUMNS.map((name) => row[name]))));

function Totals({ rows, keys, by }) {
  const lines = keys.map((key) => ({ key, rows: rows.filter((row) => (key === "others" ? !keys.includes(row.key) : row.key === key)) }));
  return html`<section class="card"><header><h2>By ${BY[by]?.toLowerCase() || titleOf(by)}</h2></header><table class="tbl cards"><thead><tr><th>${titleOf(by)}</th><th class="r">Workers</th><th class="r">Succeeded</th>
      <th class="r">Input tokens</th><th class="r">Output tokens</th><th class="r">Cost</th></tr></thead><tbody>${lines.map(({ key, rows: own }) => html`<tr key=${key}>
      <td class="full">${by === "job" && key !== "others" ? html`<a class="link mono" href=${`/jobs/${key}`}>${key}</a>` : plain(key) || unnamed(by)}</td>
      <td data-l="Workers" class="r num">${count(sum(own, "workers"))}</td><td data-l="Succeeded" class="r num">${count(sum(own, "succeeded"))}</td><td data-l="Input tokens" class="r num">${tokens(sum(own, "tokens_in"))}</td>
      <td data-l="Output tokens" class="r num">${tokens(sum(own, "tokens_out"))}</td><td data-l="Cost" class="r num">${costOf(own)}</td></tr>`)}</tbody></table></section>`;
}

function Labels({ by, jobs }) {
  const chosen = LABEL.test(by) ? by.slice(6) : "";
  const names = new Set((jobs || []).flatMap((job) => Object.keys(job.labels || {})));
  if (chosen) names.add(chosen);
  return names.size > 0 && html`<select class="in w-auto" aria-label="By label" value=${chosen} onChange=${(event) => note({ by: event.target.value && `label:${event.target.value}` })}>
    <option value="">Label</option>${[...names].sort().map((name) => html`<option key=${name} value=${name}>${plain(name)}</option>`)}</select>`;
}

export function Page() {
  const { search } = useStore(place);
  const given = new URLSearchParams(search);
  const days = RANGES[given.get("days")] ? Number(given.get("days")) : 14;
  const asked = given.get("by") || "";
  const by = BY[asked] || LABEL.test(asked) ? asked : "agent";
  const since = useMemo(() => (days === 1 ? new Date(Date.now() - DAY_MS) : dayStart(days)), [days]);
  const bucket = days === 1 ? "hour" : "day";
  const { data, error, loading } = useQuery("/api/v1/usage", { by, bucket, since: since.toISOString() }, { every: 30000 });
  // Wait for the labels, because the buttons would move when the labels appear next to them.
  const latest = useQuery("/api/v1/jobs", LATEST);
  const rows = useMemo(() => (latest.loading ? [] : data?.rows || []), [data, latest.loading]);
  const keys = useMemo(() => keysOf(rows), [rows]);
  const turn = (name, value, words) => html`<button type="button" aria-pressed=${String(String({ days, by }[name]) === value)} onClick=${() => note({ [name]: value })}>${words}</button>`;
  return html`<main id="main"><${Title} text="Costs" /><div class="page-h"><h1>Costs</h1><div class="acts"><div class="seg-c" role="group" aria-label="Time">
      ${Object.entries(RANGES).map(([value, words]) => turn("days", value, words))}</div>
      ${rows.length > 0 && html`<button type="button" class="btn hide-s" onClick=${() => download(rows)}><${Icon} name="i-download" />CSV</button>`}</div></div>
    ${error && html`<${Failure} error=${error} />`}${(loading || (data && latest.loading)) && html`<${Loading} what="the costs" />`}
    ${data && !latest.loading && !rows.length && html`<section class="card"><${Empty} icon="i-cost" title="No usage">Agents that call a model report their usage; commands have no usage.<//></section>`}
    ${rows.length > 0 && html`<div class="stack"><${Tiles} rows=${rows} days=${days} /><section class="card"><header class="wrap"><h2>${bucket === "day" ? "Cost per day" : "Cost per hour"}, by ${BY[by]?.toLowerCase() || titleOf(by)}</h2>
        <div class="seg-c" role="group" aria-label="By">${Object.entries(BY).map(([value, words]) => turn("by", value, words))}<${Labels} by=${by} jobs=${latest.data?.jobs} /></div></header>
      <div class="pad stack">${known(rows) ? html`<${Chart} rows=${rows} keys=${keys} since=${since} step=${bucket === "day" ? DAY_MS : 3600000} label=${`Cost by ${by}; the table below has the numbers`} />
        <${Key} keys=${keys} rows=${rows} by=${by} />` : html`<p class="muted">No agent has reported a cost in this time.</p>`}</div></section><${Totals} rows=${rows} keys=${keys} by=${by} /></div>`}</main>`;
}
