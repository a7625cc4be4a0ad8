// The view Events: the job's events, the newest first, live.
import { path } from "../core/api.js";
import { html, useEffect, useRef, useState } from "../core/html.js";
import { follow } from "../core/live.js";
import { Empty, Loading } from "../parts/empty.js";
import { State, drawn } from "../parts/state.js";
import { count, many, plain, time } from "../text/format.js";

const MOST = 2000;
const SHOWN = 300;
const MOST_CHARACTERS = 300;
// Earlier events arrive in pieces. All are shown at once: after a pause of the stream, or after a maximum time.
const QUIET_MS = 150;
const MOST_MS = 1500;

function details(event) {
  const { status, reason, ...rest } = event.data.data || {};
  const more = Object.entries(rest).filter(([, value]) => value !== "" && ["string", "number", "boolean"].includes(typeof value)).map(([name, value]) => `${name}: ${value}`);
  const all = [reason, ...more].filter(Boolean).join(" · ");
  return all.length > MOST_CHARACTERS ? `${all.slice(0, MOST_CHARACTERS - 1)}…` : all;
}

function useEvents(job, from) {
  const kept = useRef([]);
  const [, show] = useState(0);
  const [whole, setWhole] = useState(false);
  useEffect(() => {
    let frame = 0;
    let quiet = 0;
    kept.current = [];
    const all = () => setWhole(true);
    const most = setTimeout(all, MOST_MS);
    const stop = follow(path("jobs", job, "events"), {
      from,
      onEvent: (event) => {
        kept.current.push(event);
        if (kept.current.length > MOST) kept.current.splice(0, MOST / 4);
        clearTimeout(quiet);
        quiet = setTimeout(all, QUIET_MS);
        frame ||= requestAnimationFrame(() => { frame = 0; show((n) => n + 1); });
      },
    });
    return () => { stop(); cancelAnimationFrame(frame); clearTimeout(quiet); clearTimeout(most); };
  }, [job]);
  return { events: kept.current, whole };
}

function Row({ event, job }) {
  const { worker_id: worker, at, kind } = event.data;
  const status = event.data.data?.status;
  return html`<tr><td class="num soft nowrap">${time(at)}</td><td>${status ? html`<${State} state=${drawn(status)}>${kind || event.kind}<//>` : html`<span class="mono small">${kind || event.kind}</span>`}</td>
    <td>${worker ? html`<a class="link mono small" href=${`/jobs/${job}/w/${worker}`}>${worker}</a>` : ""}</td><td class="full"><span class="cut why">${plain(details(event))}</span></td></tr>`;
}

export function View({ model }) {
  const from = Math.max(0, model.seq - MOST);
  const [begin] = useState(from);
  const { events, whole } = useEvents(model.job, begin);
  const shown = events.slice(-SHOWN).reverse();
  if (!whole) return html`<${Loading} what="the events" />`;
  if (!events.length) return html`<section class="card"><${Empty} icon="i-pulse" title="No events yet">Events appear here as they happen.<//></section>`;
  return html`<div class="card"><table class="tbl cards events"><caption class="sr">Events, newest first</caption><thead><tr><th>Time</th><th>Event</th><th>Worker</th><th>Details</th></tr></thead>
    <tbody>${shown.map((event) => html`<${Row} key=${event.id} event=${event} job=${model.job} />`)}</tbody></table></div>
    <p class="foot"><span>${shown.length < events.length ? `${count(shown.length)} of the last ` : ""}${many(events.length, "event")}${begin ? `; earlier ones: GET /api/v1/jobs/${model.job}/events` : ""}</span></p>`;
}
