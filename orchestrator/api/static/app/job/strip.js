// Heat strips on canvas: one cell a worker, colours from the tokens.

const NAMES = ["success", "failed", "timeout", "running", "waiting", "pending", "skipped", "cancelled"];
const WRONG = new Set(["failed", "timeout"]);

function colours() {
  const probe = document.createElement("i");
  document.body.append(probe);
  const made = {};
  for (const name of NAMES) {
    probe.className = `f-${{ pending: "track", cancelled: "skipped" }[name] || name}`;
    made[name] = getComputedStyle(probe).backgroundColor;
  }
  probe.className = "card";
  made.rim = getComputedStyle(probe).backgroundColor;
  probe.remove();
  return made;
}

// Cells by column, top to bottom: their size, and how many are in a column.
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
  const palette = colours();
  const { size, lines, step, gap } = grid(width, height, states.length);
  // One path for each colour, and one rectangle for equal cells below each other.
  const paths = Object.fromEntries(NAMES.map((name) => [name, new Path2D()]));
  for (let from = 0; from < states.length;) {
    const column = Math.floor(from / lines);
    const end = Math.min(states.length, (column + 1) * lines);
    let to = from + 1;
    if (!gap) while (to < end && states[to] === states[from]) to += 1;
    paths[states[from]].rect(column * step, (from % lines) * size, step - gap, (to - from) * size - gap);
    from = to;
  }
  for (const name of NAMES) {
    context.fillStyle = palette[name];
    context.fill(paths[name]);
  }
  marks(context, palette, states, { size, lines, step, gap });
}

// What went wrong is told by size and by a rim, too, not by its colour alone.
function marks(context, palette, states, { size, lines, step, gap }) {
  const mark = Math.max(size, 5);
  states.forEach((state, index) => {
    if (!WRONG.has(state)) return;
    const x = Math.floor(index / lines) * step + (size - gap - mark) / 2;
    const y = (index % lines) * size + (size - gap - mark) / 2;
    context.fillStyle = palette.rim;
    context.fillRect(x - 1, y - 1, mark + 2, mark + 2);
    context.fillStyle = palette[state];
    context.fillRect(x, y, mark, mark);
  });
}
