// One line of a log, with colors, matches of the search, and visible control characters.
import { html } from "../core/html.js";
import { spans } from "../text/ansi.js";
import { plain } from "../text/format.js";

// A carriage return replaces the line's text before it, as in a terminal.
export function linesOf(text) {
  if (!text) return [];
  const lines = text.replace(/\r+\n/g, "\n").split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines.map((line) => line.slice(line.lastIndexOf("\r") + 1));
}

// Maximum characters of a shown line, because a line may have 50 MB.
const LONGEST = 10_000;

function marked(text, found, current) {
  if (!found) return plain(text);
  const parts = [];
  const lower = text.toLowerCase();
  let at = 0;
  for (let next = lower.indexOf(found); next >= 0; next = lower.indexOf(found, at)) {
    parts.push(plain(text.slice(at, next)), html`<mark class=${current ? "cur" : ""}>${plain(text.slice(next, next + found.length))}</mark>`);
    at = next + found.length;
  }
  return [...parts, plain(text.slice(at))];
}

export function Line({ text, found, current }) {
  const long = text.length > LONGEST;
  return html`<span class="tx">${spans(long ? text.slice(0, LONGEST) : text).map(([part, style], index) =>
    style ? html`<span key=${index} class=${style}>${marked(part, found, current)}</span>` : marked(part, found, current))}
    ${long && html`<span class="a-d"> … ${text.length - LONGEST} more characters</span>`}</span>`;
}
