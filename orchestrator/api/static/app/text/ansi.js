// Terminal colors as CSS classes. Only colors and bold are supported; bright colors become bold.
const CODES = /\u001b\[([0-9;:]*)m/g;
const OTHER = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|.)/g;
const COLORS = ["a-d", "a-r", "a-g", "a-y", "a-u", "a-m", "a-c", ""];

function styled(style, codes) {
  let { color, bold } = style;
  const given = codes === "" ? [0] : codes.split(/[;:]/).map(Number);
  for (let k = 0; k < given.length; k += 1) {
    const code = given[k];
    if (code === 0) [color, bold] = ["", false];
    else if (code === 1) bold = true;
    else if (code === 2) color = "a-d";
    else if (code === 22) bold = false;
    else if (code === 39) color = "";
    else if (code >= 30 && code <= 37) color = COLORS[code - 30];
    else if (code >= 90 && code <= 97) [color, bold] = [COLORS[code - 90] || "", code > 90];
    // A color by number is followed by two or four numbers, which are not codes.
    else if (code === 38 || code === 48) k += given[k + 1] === 5 ? 2 : 4;
  }
  return { color, bold };
}

// Returns [text, class] for each part of a line with one style.
export function spans(line) {
  const made = [];
  let style = { color: "", bold: false };
  let at = 0;
  const push = (text) => {
    const shown = text.replace(OTHER, "");
    if (shown) made.push([shown, [style.color, style.bold ? "a-b" : ""].filter(Boolean).join(" ")]);
  };
  for (const found of line.matchAll(CODES)) {
    push(line.slice(at, found.index));
    style = styled(style, found[1]);
    at = found.index + found[0].length;
  }
  push(line.slice(at));
  return made;
}

export const bare = (line) => line.replace(CODES, "").replace(OTHER, "");
