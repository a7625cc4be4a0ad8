// Pages without content: empty, not found, forbidden, or loading.
import { html } from "../core/html.js";
import { Icon } from "./icon.js";

export const Empty = ({ icon = "i-jobs", title, children, acts }) => html`<div class="empty"><${Icon} name=${icon} /><h2>${title}</h2>
  <p>${children}</p>${acts && html`<div class="acts">${acts}</div>`}</div>`;

// Grey lines in place of the content. After a second, a text names the awaited content: `what`.
export const Loading = ({ what = "this part of the page", lines = 5 }) => html`<div class="card loading" aria-busy="true"><p class="small soft late">Waiting for the server: ${what}</p><ul class="list">
  ${[...Array(lines).keys()].map((each) => html`<li key=${each}><span class=${`skel w${(each % 4) + 1} grow`} /></li>`)}</ul></div>`;

// A page of which only the address is known. `trail`: [[word, address]] of the pages above.
export const Arriving = ({ trail, name, title, what }) => html`<section class="jobhead"><div><nav class="crumb" aria-label="Where you are">
  ${[["Jobs", "/"], ...trail].map(([word, to]) => html`<a key=${to} href=${to}>${word}</a><${Icon} name="i-right" small=${true} />`)}<span class="mono">${name}</span></nav>
  <div class="line pad-b"><h1>${title}</h1></div></div></section><main id="main"><${Loading} what=${what} /></main>`;

export function Failure({ error, back = "/" }) {
  if (error.status === 404) {
    return html`<${Empty} icon="i-search" title="Not found" acts=${html`<a class="btn" href=${back}>Back</a>`}>
      ${error.message.replace(/\.?$/, ".")} The object may have been removed, or your key may not show it.<//>`;
  }
  return html`<div class="note bad" role="alert"><${Icon} name="s-failed" /><p class="grow">${error.message}</p></div>`;
}
