// Pages without content: empty, not found, forbidden, or loading.
import { html } from "../core/html.js";
import { Icon } from "./icon.js";

export const Empty = ({ icon = "i-jobs", title, children, acts }) => html`<div class="empty"><${Icon} name=${icon} /><h2>${title}</h2>
  <p>${children}</p>${acts && html`<div class="acts">${acts}</div>`}</div>`;

export const Loading = ({ lines = 5 }) => html`<div class="card loading" aria-busy="true"><span class="sr">Loading</span><ul class="list">
  ${[...Array(lines).keys()].map((each) => html`<li key=${each}><span class=${`skel w${(each % 4) + 1} grow`} /></li>`)}</ul></div>`;

export function Failure({ error, back = "/" }) {
  if (error.status === 404) {
    return html`<${Empty} icon="i-search" title="Not found" acts=${html`<a class="btn" href=${back}>Back</a>`}>
      ${error.message.replace(/\.?$/, ".")} The object may have been removed, or your key may not show it.<//>`;
  }
  return html`<div class="note bad" role="alert"><${Icon} name="s-failed" /><p class="grow">${error.message}</p></div>`;
}
