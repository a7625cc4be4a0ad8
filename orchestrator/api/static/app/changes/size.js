// How much a file changed.
import { html } from "../core/html.js";

export const PlusMinus = ({ file }) => html`<span class="pm">${file.additions > 0 && html`<span class="p">+${file.additions}</span>`}${" "}
  ${file.deletions > 0 && html`<span class="m">−${file.deletions}</span>`}</span>`;
