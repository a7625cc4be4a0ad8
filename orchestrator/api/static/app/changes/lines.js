// Lines of a hunk: their numbers, the differences within a line, and pairs for two columns.

// [{kind, text, old, new}]. `old` and `new` are line numbers; missing if that side lacks the line.
export function numbered(hunk) {
  let [before, after] = [hunk.old_start, hunk.new_start];
  const rows = [];
  for (const line of hunk.lines) {
    const kind = line[0];
    if (!"+- ".includes(kind)) continue;
    rows.push({ kind, text: line.slice(1), old: kind === "+" ? "" : before, new: kind === "-" ? "" : after });
    if (kind !== "+") before += 1;
    if (kind !== "-") after += 1;
  }
  return rows;
}

// Adds `parts` [[text, differs]] to each row. Lines are compared only if as many lines are added as removed.
export function marked(rows) {
  let at = 0;
  while (at < rows.length) {
    const removed = run(rows, at, "-");
    const added = run(rows, at + removed, "+");
    for (let each = 0; each < Math.max(removed, added); each += 1) {
      const [old, made] = [rows[at + each], rows[at + removed + each]];
      if (removed === added) [old.parts, made.parts] = differing(old.text, made.text);
    }
    at += removed + added || 1;
  }
  for (const row of rows) row.parts ||= [[row.text, false]];
  return rows;
}

function run(rows, from, kind) {
  let length = 0;
  while (rows[from + length]?.kind === kind) length += 1;
  return length;
}

// Splits two lines into their common beginning, the difference, and their common end, by words.
function differing(old, made) {
  const [first, second] = [words(old), words(made)];
  let start = 0;
  while (start < Math.min(first.length, second.length) && first[start] === second[start]) start += 1;
  let end = 0;
  while (end < Math.min(first.length, second.length) - start && first.at(-1 - end) === second.at(-1 - end)) end += 1;
  const cut = (all) => [
    [all.slice(0, start).join(""), false],
    [all.slice(start, all.length - end).join(""), start + end > 0],
    [all.slice(all.length - end).join(""), false],
  ].filter(([text]) => text);
  return [cut(first), cut(second)];
}

const words = (text) => text.match(/\w+|\s+|[^\w\s]/g) || [];

// [[before, after]]: pairs of a removed line and an added line for two columns.
export function paired(rows) {
  const pairs = [];
  let at = 0;
  while (at < rows.length) {
    const removed = run(rows, at, "-");
    const added = run(rows, at + removed, "+");
    for (let each = 0; each < Math.max(removed, added); each += 1) {
      pairs.push([each < removed ? rows[at + each] : null, each < added ? rows[at + removed + each] : null]);
    }
    if (!removed && !added) pairs.push([rows[at], rows[at]]);
    at += removed + added || 1;
  }
  return pairs;
}
