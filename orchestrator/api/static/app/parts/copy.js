// Copies a text. Browsers allow this only over HTTPS and on this machine.
import { html } from "../core/html.js";
import { plain } from "../text/format.js";
import { say } from "./toast.js";

export async function copy(text, done) {
  try {
    await navigator.clipboard.writeText(text);
    say(done);
  } catch {
    say(`The browser does not allow copying: ${text}`);
  }
}

// A command that a person types in a terminal.
export const Command = ({ text }) => html`<span class="cmd">${plain(text)}<button type="button" class="btn ghost sm" aria-label=${`Copy ${text}`}
  onClick=${() => copy(text, "Copied")}>Copy</button></span>`;
