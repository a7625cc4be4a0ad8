// The lines in conflict of a text with conflict markers.

const CONTEXT = 3;
const STARTS = { ours: "<<<<<<< ", base: "||||||| ", theirs: "=======", "": ">>>>>>> " };
const NEXT = { "": "ours", ours: "base", base: "theirs", theirs: "" };

// Returns [{line, before, ours, base, theirs, after}]: the number of the first line in the result, and
// lines of each side, with unchanged lines before and after.
export function hunksOf(text) {
  const hunks = [];
  const plain = [];
  let [side, line] = ["", 1];
  for (const each of text.replace(/\n$/, "").split("\n")) {
    if (startsNext(each, side)) {
      side = NEXT[side];
      if (side === "ours") hunks.push({ line, from: plain.length, ours: [], base: [], theirs: [] });
      continue;
    }
    (side ? hunks.at(-1)[side] : plain).push(each);
    if (!side || side === "ours") line += 1;
  }
  return hunks.map(({ from, ...hunk }) => ({ ...hunk, before: plain.slice(Math.max(0, from - CONTEXT), from), after: plain.slice(from, from + CONTEXT) }));
}

function startsNext(line, side) {
  const start = STARTS[NEXT[side]];
  return start.endsWith(" ") ? line.startsWith(start) : line === start;
}
