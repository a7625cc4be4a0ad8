// The list of all keys: "?".
import { html } from "../core/html.js";
import { store, useStore } from "../core/store.js";
import { Dialog } from "./dialogs.js";

export const sheet = store(false);

const KEYS = [
  ["Search this page", "/"], ["Show the keys", "?"], ["Next, previous row", "j", "k"], ["Open", "Enter"], ["Select a row, select none", "x", "Esc"],
  ["Up one level", "u"], ["Close, leave the field", "Esc"], ["New job", "n"], ["Jobs", "g", "j"],
  ["Costs", "g", "c"], ["Agents", "g", "a"], ["Needs you", "g", "n"],
  ["Graph, table, timeline, changes, report", "1", "…", "5"], ["Log of a worker, changes of a worker", "l", "d"],
  ["Retry", "r"], ["Pause or resume", "p"], ["Cancel (asks)", "c"], ["Message to a worker", "s"],
  ["Follow the log", "f"], ["Next, previous match", "Enter", "Shift Enter"], ["Copy the link to a line", "y"],
  ["In the graph: move along a dependency, or within a column", "←", "→", "↑", "↓"], ["Open or close a child job", "o"],
  ["Next, previous file", "]", "["], ["Mark the file as viewed", "v"], ["Comment on a line", "Enter"],
  ["Send the comment, the review, or the job", "Ctrl Enter"], ["Zoom the timeline", "+", "−"], ["Approve (asks)", "a"],
];

export function KeySheet() {
  const shown = useStore(sheet);
  if (!shown) return null;
  return html`<${Dialog} label="Keys" onClose=${() => sheet.set(false)}><div class="keys">
    ${KEYS.map(([words, ...keys]) => html`<div key=${words}><span>${words}</span><span>${keys.map((key) => html`<kbd key=${key}>${key}</kbd>`)}</span></div>`)}
  </div><//>`;
}
