// Drawing on canvas: the page's colors, read once for each theme, and heat strips with one cell
// for each worker.

const STATES = ["pending", "running", "waiting", "success", "failed", "timeout", "skipped", "cancelled"];
let known = null;
const hatches = new Map();

// Calls `draw` again when the window or the theme changes. Returns a function that ends these calls.
export function redrawn(draw) {
  const seen = matchMedia("(prefers-color-scheme: dark)");
  const sources = [[window, "resize"], [window, "themechange"], [seen, "change"]];
  for (const [source, name] of sources) source.addEventListener(name, draw);
  return () => sources.forEach(([source, name]) => source.removeEventListener(name, draw));
}

const theme = () => `${document.documentElement.dataset.theme || ""}${matchMedia("(prefers-color-scheme: dark)").matches}`;

// Returns the present color of a CSS variable, because a canvas does not evaluate light-dark().
export function color(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

export function tokens() {
  const now = theme();
  if (known?.theme === now) return known;
  known = { theme: now, sans: getComputedStyle(document.body).fontFamily, text: color("text"), text3: color("text-3"), line: color("line"), line2: color("line-2"),
    accent: color("accent"), surface: color("surface"), zebra: color("bg") };
  for (const state of STATES) {
    known[state] = color(`${state}-f`);
    known[`${state}-t`] = color(`${state}-t`);
  }
  hatches.clear();
  return known;
}

export function hatch(context, color, ground) {
  if (!hatches.has(color)) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 8;
    const made = tile.getContext("2d");
    made.fillStyle = ground;
    made.fillRect(0, 0, 8, 8);
    made.strokeStyle = color;
    made.lineWidth = 2.5;
    for (const x of [-8, 0, 8]) {
      made.beginPath();
      made.moveTo(x, 8);
      made.lineTo(x + 8, 0);
      made.stroke();
    }
    hatches.set(color, context.createPattern(tile, "repeat"));
  }
  return hatches.get(color);
}

const WRONG = new Set(["failed", "timeout"]);

// The size of cells, and their number in a column. Cells fill a column from top to bottom.
function grid(width, height, n) {
  let size = Math.min(14, Math.max(3, Math.floor(Math.sqrt((width * height) / Math.max(1, n)))));
  while (size > 2 && Math.ceil(n / Math.floor(height / size)) * size > width) size -= 1;
  const lines = Math.max(1, Math.floor(height / size));
  const step = n > 400 ? width / Math.ceil(n / lines) : size;
  return { size, lines, step, gap: size > 4 ? 1 : size > 2 ? 0.5 : 0 };
}

export function place(canvas, n, x, y) {
  const { width, height } = canvas.getBoundingClientRect();
  const { size, lines, step } = grid(width, height, n);
  return Math.floor(x / step) * lines + Math.min(lines - 1, Math.floor(y / size));
}

export function draw(canvas, states) {
  const { width, height } = canvas.getBoundingClientRect();
  if (!width) return;
  const ratio = devicePixelRatio;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const known = tokens();
  const palette = { ...known, pending: known.line, skipped: known.line2, cancelled: known.line2 };
  const { size, lines, step, gap } = grid(width, height, states.length);
  // For speed: one path for each color, and one rectangle for adjacent equal cells of a column.
  const paths = Object.fromEntries(STATES.map((name) => [name, new Path2D()]));
  for (let from = 0; from < states.length;) {
    const column = Math.floor(from / lines);
    const end = Math.min(states.length, (column + 1) * lines);
    let to = from + 1;
    if (!gap) while (to < end && states[to] === states[from]) to += 1;
    paths[states[from]].rect(column * step, (from % lines) * size, step - gap, (to - from) * size - gap);
    from = to;
  }
  for (const name of STATES) {
    context.fillStyle = palette[name];
    context.fill(paths[name]);
  }
  marks(context, palette, states, { size, lines, step, gap });
}

// Failures also differ by size and border, because some readers cannot see the color.
function marks(context, palette, states, { size, lines, step, gap }) {
  const mark = Math.max(size - gap, 5);
  const wide = Math.max(step - gap, 5);
  states.forEach((state, index) => {
    if (!WRONG.has(state)) return;
    const x = Math.floor(index / lines) * step + (step - gap - wide) / 2;
    const y = (index % lines) * size + (size - gap - mark) / 2;
    context.fillStyle = palette.surface;
    context.fillRect(x - 1, y - 1, wide + 2, mark + 2);
    context.fillStyle = palette[state];
    context.fillRect(x, y, wide, mark);
  });
}
