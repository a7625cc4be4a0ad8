// Components that show a state by shape, word, and color.
import { html } from "../core/html.js";
import { count } from "../text/format.js";
import { Icon } from "./icon.js";

const ORDER = ["success", "failed", "timeout", "running", "waiting", "pending", "skipped", "cancelled"];
export const ENDED = new Set(["success", "failed", "timeout", "skipped", "cancelled", "completed", "partial"]);
const LEGEND = {
  success: "succeeded", failed: "failed", timeout: "timed out", running: "running",
  waiting: "waiting", pending: "pending", skipped: "skipped", cancelled: "cancelled",
};

// Converts a status of the API to one of the drawn states.
export function drawn(status) {
  return { recursive_success: "success", completed: "success", planning: "running", passed: "success", did_not_run: "skipped" }[status] || status || "pending";
}

// The state of one attempt. Another attempt may follow a success (feedback) or a stop (a pause).
export function attemptState(attempt, status, isLast) {
  if (isLast) return status;
  if (attempt.failure) return "failed";
  if (attempt.ended_by === "cancel") return "cancelled";
  return attempt.exit_code === 0 && !attempt.reason ? "success" : "failed";
}

const StateIcon = ({ state, small }) => html`<${Icon} name=${`s-${drawn(state)}`} small=${small} />`;

export const State = ({ state, pill, children }) => html`<span
  class=${`st st-${drawn(state)} ${pill ? "pill" : ""}`}><${StateIcon} state=${state} />${children ?? state}</span>`;

// The icon of a state in a line that shows no word; screen readers read the word.
export const Mark = ({ state }) => html`<span class=${`st st-${drawn(state)}`}
  ><${StateIcon} state=${state} /><span class="sr">${state}</span></span>`;

export function total(counts) {
  return ORDER.reduce((sum, name) => sum + (counts[name] || 0), 0);
}

export const unfinished = (counts) => ORDER.reduce((sum, name) => sum + (ENDED.has(name) ? 0 : counts[name] || 0), 0);

// Each part is at least 3 px wide, so that 1 of 10,000 workers is visible.
function segments(counts) {
  const all = total(counts);
  const present = ORDER.filter((name) => counts[name]);
  const widths = present.map((name) => Math.max(13, (counts[name] / all) * 1000));
  const over = widths.reduce((sum, each) => sum + each + 4, -4);
  let at = 0;
  return present.map((name, index) => {
    const width = (widths[index] * 1000) / over;
    const made = { name, at, width };
    at += width + (4 * 1000) / over;
    return made;
  });
}

const fill = (name) => ({ pending: "f-none", skipped: "f-skipped", cancelled: "f-skipped" })[name] || `f-${name}`;

export function Bar({ counts, tall, label }) {
  return html`<svg class=${`bar ${tall ? "tall" : ""}`} viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label=${label}>
    ${total(counts) === 0 && html`<rect width="1000" height="10" class="f-none" />`}
    ${segments(counts).map(({ name, at, width }) => html`<rect key=${name} x=${at.toFixed(1)} width=${width.toFixed(1)} height="10"
      class=${name === "waiting" ? "" : fill(name)} fill=${name === "waiting" ? "url(#hatch)" : undefined} />`)}
  </svg>`;
}

export function Legend({ counts, href }) {
  return html`<span class="legend">${ORDER.filter((name) => counts[name]).map((name) => {
    const words = html`<${State} key=${name} state=${name}>${count(counts[name])} ${LEGEND[name]}<//>`;
    return href ? html`<a key=${name} href=${href(name)}>${words}</a>` : words;
  })}</span>`;
}

export const countsAsText = (counts) =>
  ORDER.filter((name) => counts[name]).map((name) => `${count(counts[name])} ${LEGEND[name]}`).join(", ") || "no workers yet";
