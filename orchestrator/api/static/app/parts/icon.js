import { html } from "../core/html.js";

export const Icon = ({ name, small, extra = "" }) => html`<svg
  class=${`i ${small ? "i-14" : ""} ${extra}`} aria-hidden="true"><use href=${`/static/icons.svg#${name}`} /></svg>`;
