// Converts Markdown to elements: headings, lists, tables, code, quotes, emphasis, links. HTML stays text.
import { html } from "../core/html.js";
import { plain } from "./format.js";

const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|\[([^\]]+)\]\(([^()\s]+)\)|\\([!-/:-@[-`{-~])|&(?:(amp|lt|gt)|#(\d{1,5}));/g;
const NAMED = { amp: "&", lt: "<", gt: ">" };

// `link` converts a relative address to a target, or null. Other schemes than http(s) are not linked.
function inline(text, link) {
  const made = [];
  let at = 0;
  for (const found of text.matchAll(INLINE)) {
    made.push(plain(text.slice(at, found.index)));
    at = found.index + found[0].length;
    const [, code, bold, words, target, escaped, named, number] = found;
    if (code !== undefined) made.push(html`<code>${plain(code)}</code>`);
    else if (bold !== undefined) made.push(html`<b class="strong">${inline(bold, link)}</b>`);
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

const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((each) => each.trim());

class Reader {
  constructor(text, link) {
    Object.assign(this, { lines: text.split("\n"), at: 0, link });
  }

  take(test) {
    const from = this.at;
    while (this.at < this.lines.length && test(this.lines[this.at])) this.at += 1;
    return this.lines.slice(from, this.at);
  }

  inline(text) {
    return inline(text, this.link);
  }

  block() {
    const line = this.lines[this.at];
    if (/^(```+|~~~+)/.test(line)) return this.fence(line);
    const heading = /^(#{1,6})\s+(.*)/.exec(line);
    if (heading) return this.heading(heading);
    if (/^\s*\|/.test(line)) return this.table();
    if (/^\s*([-*]|\d+\.)\s/.test(line)) return this.list();
    if (/^>/.test(line)) return html`<blockquote>${this.take((each) => /^>/.test(each)).map((each) => html`<p>${this.inline(each.replace(/^>\s?/, ""))}</p>`)}</blockquote>`;
    if (/^(    |\t)/.test(line)) return html`<pre tabindex="0">${plain(this.take((each) => /^(    |\t)/.test(each)).join("\n"))}</pre>`;
    return html`<p>${this.inline(this.take((each) => each.trim() && !/^(#{1,6}\s|```|~~~|\||>|\s*[-*]\s)/.test(each)).join(" ") || this.lines[this.at++])}</p>`;
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
    const [head, ...body] = rows;
    const named = head.some(Boolean);
    return html`<div class="scroll-x" tabindex="0" role="group" aria-label="Table"><table>${named && html`<thead><tr>${head.map((each) => html`<th>${this.inline(each)}</th>`)}</tr></thead>`}
      <tbody>${body.map((row) => html`<tr>${row.map((each) => html`<td>${this.inline(each)}</td>`)}</tr>`)}</tbody></table></div>`;
  }

  list() {
    const items = this.take((each) => /^\s*([-*]|\d+\.)\s/.test(each) || /^\s{2,}\S/.test(each));
    const joined = [];
    for (const item of items) {
      if (/^\s*([-*]|\d+\.)\s/.test(item)) joined.push(item.replace(/^\s*([-*]|\d+\.)\s/, ""));
      else joined[joined.length - 1] += ` ${item.trim()}`;
    }
    return html`<ul>${joined.map((each) => html`<li>${this.inline(each)}</li>`)}</ul>`;
  }
}

export function markdown(text, link = () => null) {
  const reader = new Reader(text.replace(/\r\n/g, "\n"), link);
  const made = [];
  while (reader.at < reader.lines.length) {
    if (reader.lines[reader.at].trim()) made.push(reader.block());
    else reader.at += 1;
  }
  return made;
}
