// One file of a diff: unified or side by side, with the comments on its lines.
import { html, useEffect, useState } from "../core/html.js";
import { Icon } from "../parts/icon.js";
import { count, plain } from "../text/format.js";
import { Editor, Thread } from "./comments.js";
import { marked, numbered, paired } from "./lines.js";

// Numbers of added and removed lines of a file.
export const PlusMinus = ({ file }) => html`<span class="pm">${file.additions > 0 && html`<span class="p">+${count(file.additions)}</span>`}${" "}
  ${file.deletions > 0 && html`<span class="m">−${count(file.deletions)}</span>`}${file.binary && html`<span class="muted">binary</span>`}</span>`;

const STATUS = { added: "new", deleted: "removed", renamed: "renamed", copied: "copied", type: "type changed" };

function useHunks({ known, fetchFile, open }) {
  const [own, set] = useState(null);
  const [error, fail] = useState(null);
  const file = known || own;
  return {
    file,
    error,
    async load(name) {
      if (file || !fetchFile) return;
      try {
        set(await fetchFile(name));
      } catch (problem) {
        fail(problem);
      }
    },
    waits: open && !file && !error,
  };
}

export function FileDiff({ file, known, fetchFile, folded, viewed, turnViewed, split, remarks }) {
  const [open, setOpen] = useState(!folded && !viewed);
  const hunks = useHunks({ known, fetchFile, open });
  useEffect(() => { if (open) hunks.load(file.path); }, [open]);
  const turn = () => {
    if (!viewed) setOpen(false);
    turnViewed(file.path);
  };
  const word = STATUS[file.status];
  return html`<section class="card file" id=${encodeURIComponent(file.path)} aria-label=${file.path}><header>
      <button type="button" class="btn ghost icon sm" aria-label=${`Fold ${file.path}`} aria-expanded=${String(open)} onClick=${() => setOpen(!open)}><${Icon} name=${open ? "i-down" : "i-right"} /></button>
      <span class="path">${file.old_path && file.old_path !== file.path ? `${plain(file.old_path)} → ` : ""}${plain(file.path)}</span>
      ${word && html`<span class="chip hide-s">${word}</span>`}<span class="hide-s"><${PlusMinus} file=${file} /></span>
      ${turnViewed && html`<label class="check small"><input type="checkbox" checked=${viewed} onChange=${turn} /><span>Viewed</span></label>`}</header>
    ${open && html`<${Content} file=${file} hunks=${hunks} split=${split} remarks=${remarks} />`}</section>`;
}

// The height in pixels of a diff with one hunk: its changed lines, with three unchanged lines before and after.
const expected = ({ status, additions = 0, deletions = 0 }) => 28 + 20 * (additions + deletions + (["added", "deleted"].includes(status) ? 0 : 6));

function Content({ file, hunks, split, remarks }) {
  if (file.binary) return html`<p class="pad soft">A binary file: its content is not shown.</p>`;
  if (file.too_big) return html`<p class="pad soft">This file is too large to be shown here; download the patch.</p>`;
  if (hunks.error) return html`<p class="pad soft" role="alert">${hunks.error.message}</p>`;
  if (hunks.waits) return html`<p class="pad soft" aria-busy="true" style=${{ minHeight: `${expected(file)}px` }}>Loading</p>`;
  const found = hunks.file?.hunks || [];
  if (!found.length) return html`<p class="pad soft">Only the file's name or mode changed.</p>`;
  return split ? html`<${Split} file=${file} hunks=${found} remarks=${remarks} />` : html`<${Unified} file=${file} hunks=${found} remarks=${remarks} />`;
}

const heading = (hunk) => `@@ −${hunk.old_start},${hunk.old_lines} +${hunk.new_start},${hunk.new_lines} @@ ${hunk.header || ""}`;
const KIND = { "+": "add", "-": "del", " ": "" };
const SIGN = { "+": "+", "-": "−", " ": "" };

const Words = ({ parts, kind }) => parts.map(([text, differs], at) =>
  differs ? html`<${kind === "-" ? "del" : "ins"} key=${at}>${plain(text)}<//>` : plain(text));

// The open comment editor of a file: at one line of one side.
function useEditor(file, remarks) {
  const [at, set] = useState(null);
  const is = (side, line) => at?.side === side && at?.line === line;
  return {
    is,
    begin: (side, line, code) => remarks && set({ side, line, code }),
    end: () => set(null),
    save(text) {
      remarks.add({ path: file.path, side: at.side, line: at.line, code: at.code, text });
      set((now) => (now === at ? null : now));
    },
  };
}

// The place of a comment on a line: the old side for a removed line, otherwise the new side.
const sideOf = (row) => (row.kind === "-" ? ["old", row.old] : ["new", row.new]);

function Below({ file, row, editor, remarks, columns }) {
  if (!remarks) return null;
  const [side, line] = sideOf(row);
  const comments = remarks.on(file.path, side, line);
  if (!comments.length && !editor.is(side, line)) return null;
  return html`<tr><td colspan=${columns}>${comments.map((each) => html`<${Thread} key=${each.id} comment=${each} remarks=${remarks} />`)}
    ${editor.is(side, line) && html`<${Editor} line=${line} save=${editor.save} cancel=${editor.end} />`}</td></tr>`;
}

function Sign({ row, editor, remarks }) {
  const [side, line] = sideOf(row);
  if (!remarks) return html`<td class="sg">${SIGN[row.kind]}</td>`;
  return html`<td class="sg addc">${SIGN[row.kind]}<button type="button" class="say" aria-label=${`Comment on line ${line}`}
    onClick=${() => editor.begin(side, line, row.text)}><${Icon} name="i-plus" small /></button></td>`;
}

function Unified({ file, hunks, remarks }) {
  const editor = useEditor(file, remarks);
  return html`<table class="diff"><caption class="sr">Changes of ${file.path}</caption>
    <colgroup><col class="c-n" /><col class="c-n" /><col class="c-s" /><col /></colgroup><tbody>
    ${hunks.map((hunk) => html`<tr class="hunk" key=${heading(hunk)}><td colspan="4">${plain(heading(hunk))}</td></tr>
      ${marked(numbered(hunk)).map((row) => html`<tr key=${`${row.old} ${row.new}`} class=${KIND[row.kind]}>
        <td class="n">${row.old}</td><td class="n">${row.new}</td><${Sign} row=${row} editor=${editor} remarks=${remarks} />
        <td class="cd"><${Words} parts=${row.parts} kind=${row.kind} /></td></tr>
        <${Below} file=${file} row=${row} editor=${editor} remarks=${remarks} columns="4" />`)}`)}</tbody></table>`;
}

function Half({ row, kind, editor, remarks, mid }) {
  const also = mid ? " mid" : "";
  if (!row) return html`<td class=${`n void${also}`}></td><td class="sg void"></td><td class="cd void"></td>`;
  const drawn = row.kind === " " ? "" : KIND[row.kind];
  const given = kind === "new" ? remarks : row.kind === "-" ? remarks : null;
  return html`<td class=${`n ${drawn}${also}`}>${kind === "new" ? row.new : row.old}</td>
    ${given && !(kind === "old" && row.kind === " ") ? html`<${Sign} row=${row} editor=${editor} remarks=${given} />` : html`<td class=${`sg ${drawn}`}>${SIGN[row.kind]}</td>`}
    <td class=${`cd ${drawn}`}><${Words} parts=${row.parts} kind=${row.kind} /></td>`;
}

function Split({ file, hunks, remarks }) {
  const editor = useEditor(file, remarks);
  return html`<table class="diff"><caption class="sr">Changes of ${file.path}, side by side</caption>
    <colgroup><col class="c-n" /><col class="c-s" /><col /><col class="c-n" /><col class="c-s" /><col /></colgroup><tbody>
    ${hunks.map((hunk) => html`<tr class="hunk" key=${heading(hunk)}><td colspan="6">${plain(heading(hunk))}</td></tr>
      ${paired(marked(numbered(hunk))).map(([before, after]) => html`<tr key=${`${before?.old} ${after?.new}`}>
        <${Half} row=${before} kind="old" editor=${editor} remarks=${remarks} /><${Half} row=${after} kind="new" editor=${editor} remarks=${remarks} mid /></tr>
        ${before && before.kind === "-" && html`<${Below} file=${file} row=${before} editor=${editor} remarks=${remarks} columns="6" />`}
        ${after && html`<${Below} file=${file} row=${after} editor=${editor} remarks=${remarks} columns="6" />`}`)}`)}</tbody></table>`;
}
