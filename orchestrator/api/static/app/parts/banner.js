// The banner above all pages: the server does not answer, answers again, or cannot continue.
import { connection, probe } from "../core/connection.js";
import { html } from "../core/html.js";
import { useStore } from "../core/store.js";
import { time } from "../text/format.js";
import { Icon } from "./icon.js";

export function Banner({ health }) {
  const { state, since } = useStore(connection);
  if (state === "lost") {
    return html`<div class="banner" role="alert"><${Icon} name="s-needs" /><span>The server does not answer. The page shows the state at
      ${" "}${time(new Date(since).toISOString())}, and continues when the server is back.
      <span class="hide-s"> If it was stopped: <code>bin/orchestrator serve</code></span></span>
      <button type="button" class="btn" onClick=${probe}>Try now</button></div>`;
  }
  if (state === "back") {
    return html`<div class="banner ok" role="status"><${Icon} name="s-success" /><span>The server is back; the page is up to date.</span></div>`;
  }
  if (health && !health.ready) {
    const wrong = Object.entries(health.checks).filter(([, word]) => word !== "ok").map(([part, word]) => `${part}: ${word}`);
    return html`<div class="banner bad" role="alert"><${Icon} name="s-failed" /><span>The server cannot continue. ${wrong.join("; ")}</span></div>`;
  }
  return null;
}
