// A message at the bottom left for six seconds, which screen readers read, too.
import { html } from "../core/html.js";
import { store, useStore } from "../core/store.js";

const SHOWN_MS = 6000;
const shown = store(null);
let timer = 0;

export function say(text, action) {
  clearTimeout(timer);
  shown.set({ text, action });
  timer = setTimeout(() => shown.set(null), SHOWN_MS);
}

export function Toast() {
  const given = useStore(shown);
  return html`<div class="toasts" role="status" aria-live="polite">
    ${given && html`<div class="toast"><span>${given.text}</span>
      ${given.action && html`<button type="button" onClick=${given.action.act}>${given.action.word}</button>`}</div>`}
  </div>`;
}
