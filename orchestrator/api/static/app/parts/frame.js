// The frame of each page: head, navigation on a phone, banner, dialogs, and keys of all pages.
import { html, useEffect, useRef } from "../core/html.js";
import { get } from "../core/api.js";
import { PATIENCE_MS } from "../core/connection.js";
import { step, useKeys } from "../core/keys.js";
import { useQuery } from "../core/query.js";
import { go, place } from "../core/router.js";
import { logOut, mayChange, session } from "../core/session.js";
import { useStore } from "../core/store.js";
import { money, plain } from "../text/format.js";
import { Asked } from "./dialogs.js";
import { Banner } from "./banner.js";
import { Icon } from "./icon.js";
import { KeySheet, sheet } from "./keysheet.js";
import { say, Toast } from "./toast.js";

const GAUGE_MS = 5000;
const THEMES = ["", "light", "dark"];

function turnTheme() {
  const root = document.documentElement;
  const next = THEMES[(THEMES.indexOf(root.dataset.theme || "") + 1) % THEMES.length];
  if (next) root.dataset.theme = next;
  else delete root.dataset.theme;
  try {
    localStorage.setItem("theme", next);
  } catch {
    // A private window has no storage, so the theme lasts until the window is closed.
  }
  dispatchEvent(new Event("themechange"));
  say(`Theme: ${next || "as the system"}`);
}

const focusSearch = () => {
  const field = document.querySelector("input[type=search]");
  field?.focus();
  return Boolean(field);
};

function useFrameKeys() {
  useKeys({
    "/": focusSearch, "?": () => sheet.set(true), j: () => step(1), k: () => step(-1), n: () => mayChange() && go("/new"),
    "g j": () => go("/"), "g c": () => go("/costs"), "g a": () => go("/agents"), "g n": () => go("/#needs"),
    u: () => go(above(place.get().path)),
  });
}

function above(path) {
  const parts = path.split("/").filter(Boolean);
  if (parts[0] !== "jobs" || parts.length <= 2) return "/";
  return `/jobs/${parts[1]}`;
}

// Used slots as a scale of ten ticks, whatever the number of slots is.
function Slots({ running, most }) {
  const lit = most ? Math.round((running / most) * 10) : 0;
  return html`<span class="lo"><span class="slots" aria-hidden="true">${[...Array(10).keys()].map((each) =>
    html`<i key=${each} class=${each < lit ? "on" : ""} />`)}</span><b class="num">${running}</b> of ${most} slots</span>`;
}

function Gauges({ stats, today }) {
  const { running = 0, slots: most } = stats?.slots || {};
  return html`<div class="gauges">
    ${most !== undefined && html`<${Slots} running=${running} most=${most} />`}
    ${today?.cost !== undefined && html`<span>${today.cost === null ? "unknown cost" : html`<b class="num">${money(today.cost)}</b>`} today</span>`}
  </div>`;
}

const PLACES = [
  ["/", "Jobs", "i-jobs"], ["/costs", "Costs", "i-cost"], ["/agents", "Agents", "i-agent"],
];
const at = (path, to) => (to === "/" ? path === "/" || path.startsWith("/jobs") : path.startsWith(to)) ? "page" : undefined;

const lastPart = (path) => path.split("/").filter(Boolean).pop() || "/";

// The project, and links to the dashboards of this user's other servers.
function Project({ project, servers }) {
  const list = useRef(null);
  useEffect(() => {
    const close = (event) => {
      if (list.current?.open && (event.key === "Escape" || (!event.key && !list.current.contains(event.target)))) list.current.open = false;
    };
    addEventListener("keydown", close);
    addEventListener("pointerdown", close);
    return () => { removeEventListener("keydown", close); removeEventListener("pointerdown", close); };
  }, []);
  if (!project) return null;
  if (!servers.length) return html`<span class="chip hide-s" title=${project}><span class="cut">${plain(lastPart(project))}</span></span>`;
  return html`<details class="servers hide-s" ref=${list}><summary class="chip" title=${project}><span class="cut">${plain(lastPart(project))}</span><${Icon} name="i-down" small /></summary>
    <ul class="card list">${servers.map((each) => html`<li key=${each.url}><a class="link" href=${each.url} >${plain(lastPart(each.project))}</a> <span class="small muted cut" title=${each.project}>${plain(each.project)}</span></li>`)}</ul></details>`;
}

function Top({ path, needs, stats, today, project, servers }) {
  return html`<header class="top"><a class="brand" href="/" aria-label="orchestrator, all jobs"><${Icon} name="i-mark" /><span>orchestrator</span></a>
    <${Project} project=${project} servers=${servers} />
    <nav class="nav" aria-label="Main">${PLACES.map(([to, word]) => html`<a key=${to} href=${to} aria-current=${at(path, to)}>${word}</a>`)}</nav>
    <span class="fill"></span><${Gauges} stats=${stats} today=${today} />
    ${needs > 0 && html`<a class="bell" href="/#needs"><${Icon} name="s-needs" /><span>${needs}<span class="hide-s"> ${needs === 1 ? "needs" : "need"} you</span></span></a>`}
    <button class="btn ghost icon hide-s" aria-label="All keys" onClick=${() => sheet.set(true)}>?</button>
    <button class="btn ghost icon" aria-label="Change theme" onClick=${turnTheme}><${Icon} name="i-theme" /></button>
    <button class="btn ghost sm" onClick=${logOut}>Log out</button></header>`;
}

function Tabbar({ path, needs }) {
  const word = ([to, name, icon]) => html`<a key=${to} href=${to} aria-current=${at(path, to)}><${Icon} name=${icon} />${name}</a>`;
  return html`<nav class="tabbar" aria-label="Main, phone">${word(PLACES[0])}
    <a href="/#needs"><${Icon} name="s-needs" />Needs you${needs > 0 && html`<b>${needs}</b>`}</a>
    ${mayChange() ? word(["/new", "New", "i-plus"]) : html`<span></span>`}${word(PLACES[1])}${word(PLACES[2])}</nav>`;
}

export function Frame({ children }) {
  const { path, hash } = useStore(place);
  useStore(session);
  useFrameKeys();
  // If the server cannot continue, its answer is an error (503) with the same content.
  const health = useQuery("/health", {}, { every: GAUGE_MS, load: (signal) => get("/health", {}, { signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]) }) });
  const server = useQuery("/api/v1/server", {}, { every: 12 * GAUGE_MS });
  const stats = useQuery("/api/v1/stats", {}, { every: GAUGE_MS });
  const needs = useQuery("/api/v1/needs", { page_size: 1 }, { every: GAUGE_MS });
  const today = useQuery("/api/v1/usage", { by: "day", since: midnight() }, { every: 6 * GAUGE_MS });
  useEffect(() => {
    if (hash === "#needs") document.getElementById("needs")?.scrollIntoView();
  }, [path, hash]);
  return html`<a class="skip" href="#main">Skip to content</a><${Hatches} /><${Banner} health=${health.error?.body?.checks ? health.error.body : health.data} />
    <${Top} path=${path} needs=${needs.data?.total || 0} stats=${stats.data} today=${today.data && { cost: costOf(today.data.rows) }} project=${server.data?.project} servers=${server.data?.servers || []} />
    ${children}<${Tabbar} path=${path} needs=${needs.data?.total || 0} /><${Toast} /><${Asked} /><${KeySheet} />`;
}

// Null if the cost of all workers with a cost is unknown, undefined if no worker has a cost.
function costOf(rows) {
  const known = rows.filter((row) => row.cost_usd !== undefined);
  if (!known.length) return rows.some((row) => row.partial) ? null : undefined;
  return known.reduce((sum, row) => sum + row.cost_usd, 0);
}

const midnight = () => {
  const now = new Date();
  return new Date(now.getFullYear(), now.getMonth(), now.getDate()).toISOString();
};

// Hatch patterns of waiting workers. SVG finds patterns only in the same document.
const Hatches = () => html`<svg width="0" height="0" class="sr" aria-hidden="true"><defs>
  <pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0v6" class="hatch-w" /></pattern>
  <pattern id="hatch-r" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0v6" class="hatch-p" /></pattern></defs></svg>`;
