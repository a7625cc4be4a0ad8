// Colours of the tokens for canvas, read once for each theme.

const STATES = ["pending", "running", "waiting", "success", "failed", "timeout", "skipped", "cancelled"];
let known = null;

const theme = () => `${document.documentElement.dataset.theme || ""}${matchMedia("(prefers-color-scheme: dark)").matches}`;

export function tokens() {
  const now = theme();
  if (known?.theme === now) return known;
  const probe = document.createElement("i");
  document.body.append(probe);
  const colour = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  known = { theme: now, sans: getComputedStyle(document.body).fontFamily, text: colour("text"), text3: colour("text-3"), line: colour("line"),
    accent: colour("accent"), surface: colour("surface"), zebra: colour("bg") };
  for (const state of STATES) {
    known[state] = colour(`${state}-f`);
    known[`${state}-t`] = colour(`${state}-t`);
  }
  probe.remove();
  hatches.clear();
  return known;
}

const hatches = new Map();

export function hatch(context, colour, ground) {
  if (!hatches.has(colour)) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 8;
    const made = tile.getContext("2d");
    made.fillStyle = ground;
    made.fillRect(0, 0, 8, 8);
    made.strokeStyle = colour;
    made.lineWidth = 2.5;
    for (const x of [-8, 0, 8]) {
      made.beginPath();
      made.moveTo(x, 8);
      made.lineTo(x + 8, 0);
      made.stroke();
    }
    hatches.set(colour, context.createPattern(tile, "repeat"));
  }
  return hatches.get(colour);
}
