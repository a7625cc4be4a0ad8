// Converts Markdown to elements: headings, lists, tables, code, quotes, emphasis, links. HTML stays text.
import { html } from "../core/html.js";
import { plain } from "./format.js";

const INLINE = /`([^`]+)`|\*\*\*([^*]+)\*\*\*|\*\*([^*]+)\*\*|(?<!\*)\*(?!\*)((?=\S)[^*`\n]*[^\s*`])\*(?!\*)|\[([^\]]+)\]\(([^()\s]+)\)|\\([!-/:-@[-`{-~])|&(?:(amp|lt|gt)|#(\d{1,5}));/g;
const NAMED = { amp: "&", lt: "<", gt: ">" };

// `link` converts a relative address to a target, or null. Other schemes than http(s) are not linked.
function inline(text, link) {
  const made = [];
  let at = 0;
  for (const found of text.matchAll(INLINE)) {
    made.push(plain(text.slice(at, found.index)));
    at = found.index + found[0].length;
    const [, code, both, bold, weak, words, target, escaped, named, number] = found;
    if (code !== undefined) made.push(html`<code>${plain(code)}</code>`);
    else if (both !== undefined) made.push(html`<b class="strong"><em>${inline(both, link)}</em></b>`);
    else if (bold !== undefined) made.push(html`<b class="strong">${inline(bold, link)}</b>`);
    else if (weak !== undefined) made.push(html`<em>${inline(weak, link)}</em>`);
    else if (escaped !== undefined) made.push(escaped);
    else if (named || number) made.push(plain(named ? NAMED[named] : String.fromCodePoint(Number(number))));
    else made.push(anchor(words, target, link));
  }
  return [...made, plain(text.slice(at))];
}

function anchor(words, target, link) {
  const to = /^https?:\/\//.test(target) ? target : /^[a-z]+:/i.test(target) || target.startsWith("//") ? null : link(target);
  if (!to) return plain(words);
  const outside = /^https?:/.test(to);
  return html`<a href=${to} target=${outside ? "_blank" : undefined} rel=${outside ? "noopener noreferrer" : undefined}>${plain(words)}</a>`;
}

// An item of a list: its indentation, the number of a numbered item, and its text.
const ITEM = /^(\s*)(?:[-*]|(\d+)[.)])\s+(.*)/;

// A line whose indentation has spaces in place of tabs.
const spaced = (line) => line.replace(/^[ \t]+/, (indent) => indent.replaceAll("\t", "    "));

const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((each) => each.trim());

// Deeper quotes and lists are shown as text, so that no text of an agent exceeds the stack.
const MOST_LEVELS = 20;

class Reader {
  constructor(lines, link, level) {
    Object.assign(this, { lines, at: 0, link, level });
  }

  take(test) {
    const from = this.at;
    while (this.at < this.lines.length && test(this.lines[this.at])) this.at += 1;
    return this.lines.slice(from, this.at);
  }

  inline(text) {
    return inline(text, this.link);
  }

  blocks(lines) {
    return this.level < MOST_LEVELS ? blocks(lines, this.link, this.level + 1) : plain(lines.join("\n"));
  }

  block() {
    const line = this.lines[this.at];
    if (/^(```+|~~~+)/.test(line)) return this.fence(line);
    const heading = /^(#{1,6})\s+(.*)/.exec(line);
    if (heading) return this.heading(heading);
    if (/^\s*\|/.test(line)) return this.table();
    if (ITEM.test(line)) return this.list();
    if (/^>/.test(line)) return html`<blockquote>${this.blocks(this.take((each) => /^>/.test(each)).map((each) => each.replace(/^> ?/, "")))}</blockquote>`;
    if (/^(    |\t)/.test(line)) return html`<pre tabindex="0">${plain(this.take((each) => /^(    |\t)/.test(each)).join("\n"))}</pre>`;
    return html`<p>${this.inline(this.take((each) => each.trim() && !/^(#{1,6}\s|```|~~~|\||>|\s*([-*]|1[.)])\s)/.test(each)).join("\n") || this.lines[this.at++])}</p>`;
  }

  fence(line) {
    const mark = /^(`+|~+)/.exec(line)[0];
    this.at += 1;
    const body = this.take((each) => !(each.startsWith(mark) && !each.slice(mark.length).trim()));
    this.at += 1;
    return html`<pre tabindex="0">${body.map(plain).join("\n")}</pre>`;
  }

  heading([, marks, words]) {
    this.at += 1;
    return marks.length < 3 ? html`<h2>${this.inline(words)}</h2>` : html`<h3>${this.inline(words)}</h3>`;
  }

  table() {
    const rows = this.take((each) => /^\s*\|/.test(each)).filter((each) => !/^[\s|:-]+$/.test(each) || !each.includes("-")).map(cells);
    const [head = [], ...body] = rows;
    const named = head.some(Boolean);
    return html`<div class="scroll-x" tabindex="0" role="group" aria-label="Table"><table>${named && html`<thead><tr>${head.map((each) => html`<th>${this.inline(each)}</th>`)}</tr></thead>`}
      <tbody>${body.map((row) => html`<tr>${row.map((each) => html`<td>${this.inline(each)}</td>`)}</tr>`)}</tbody></table></div>`;
  }

  // Indented lines below an item belong to the item, for example a nested list. An item with only one more space
  // of indentation does not begin a nested list.
  list() {
    const [, indent, number] = ITEM.exec(spaced(this.lines[this.at]));
    const items = [];
    for (; this.at < this.lines.length; this.at += 1) {
      const line = spaced(this.lines[this.at]);
      const found = ITEM.exec(line);
      if (found && found[1].length <= indent.length + 1) {
        if (Boolean(found[2]) !== Boolean(number)) break;
        items.push([found[3]]);
      } else if (/^\s+\S/.test(line)) items.at(-1).push(line);
      else break;
    }
    const shown = items.map(([first, ...below]) => {
      const least = below.reduce((shortest, each) => Math.min(shortest, /^\s*/.exec(each)[0].length), Infinity);
      return html`<li>${this.blocks([first, ...below.map((each) => each.slice(least))])}</li>`;
    });
    return number ? html`<ol start=${number}>${shown}</ol>` : html`<ul>${shown}</ul>`;
  }
}

function blocks(lines, link, level = 0) {
  const reader = new Reader(lines, link, level);
  const made = [];
  while (reader.at < reader.lines.length) {
    if (reader.lines[reader.at].trim()) made.push(reader.block());
    else reader.at += 1;
  }
  return made;
}

export const markdown = (text, link = () => null) => blocks(text.replace(/\r\n/g, "\n").split("\n"), link);
