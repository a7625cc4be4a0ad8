import { html } from "../core/html.js";

// The address of the icons with this module's version, as for all files of the dashboard.
export const sprite = new URL("../../icons.svg", import.meta.url).pathname;

export const Icon = ({ name, small, extra = "" }) => html`<svg
  class=${`i ${small ? "i-14" : ""} ${extra}`} aria-hidden="true"><use href=${`${sprite}#${name}`} /></svg>`;
