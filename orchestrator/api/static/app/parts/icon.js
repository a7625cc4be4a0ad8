import { html } from "../core/html.js";

// Its own version of the sprite, as of all other files.
export const sprite = new URL("../../icons.svg", import.meta.url).pathname;

export const Icon = ({ name, small, extra = "" }) => html`<svg
  class=${`i ${small ? "i-14" : ""} ${extra}`} aria-hidden="true"><use href=${`${sprite}#${name}`} /></svg>`;
