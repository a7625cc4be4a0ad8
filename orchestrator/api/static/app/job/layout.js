// The graph's layout. A task's column is the length of the longest path to it. In a column, tasks are
// near their dependencies. The time is linear in tasks and edges.

import { columns, cut } from "../text/format.js";

const NODE = { height: 52, gap: 10 };
const CHIP = { height: 32, gap: 6, pad: 10 };
const FRAME = { pad: 10, caption: 26 };
const WIDTH = { plain: 216, framed: 336 };
const COLUMN_GAP = 60;
const TOP = 34;
const LEFT = 20;
// The distance between a box and an edge that passes it.
const PASS = NODE.gap / 2;

// Returns the job's tasks, each with its workers and the indexes of its dependencies.
function units(model) {
  const made = [];
  const byTask = new Map();
  for (const i of model.members[0]) {
    let unit = byTask.get(model.task[i]);
    if (!unit) {
      unit = { task: model.task[i], workers: [], needs: new Set(), index: made.length };
      byTask.set(model.task[i], unit);
      made.push(unit);
    }
    unit.workers.push(i);
  }
  for (const unit of made) {
    for (const i of unit.workers) {
      for (const needed of model.deps[i] || []) {
        const from = byTask.get(model.task[needed]);
        if (from && from !== unit) unit.needs.add(from);
      }
    }
  }
  return made;
}

export function ranked(model) {
  const all = units(model);
  const ranks = new Map();
  // Without recursion, because a chain may have 10,000 tasks. The server rejects cycles.
  const left = new Map(all.map((unit) => [unit, unit.needs.size]));
  const users = new Map(all.map((unit) => [unit, []]));
  for (const unit of all) for (const needed of unit.needs) users.get(needed).push(unit);
  const ready = all.filter((unit) => !left.get(unit));
  for (const unit of ready) {
    ranks.set(unit, Math.max(-1, ...[...unit.needs].map((each) => ranks.get(each))) + 1);
    for (const user of users.get(unit)) {
      left.set(user, left.get(user) - 1);
      if (!left.get(user)) ready.push(user);
    }
  }
  const columns = [];
  for (const unit of all) (columns[ranks.get(unit) || 0] ||= []).push(unit);
  return columns;
}

// The text by which similar reasons of failures are grouped: without numbers, which differ from worker to worker.
export const reasonKind = (reason) => reason.replace(/\d+/g, "#").slice(0, 90);

function chips(names, width) {
  const rows = [];
  let x = 0;
  let y = 0;
  for (const { name, ...rest } of names) {
    const wide = Math.min(width, 46 + columns(name) * 7);
    if (x && x + wide > width) [x, y] = [0, y + CHIP.height + CHIP.gap];
    rows.push({ name, x, y, width: wide, ...rest });
    x += wide + CHIP.gap + 2;
  }
  return { rows, height: names.length ? y + CHIP.height : 0 };
}

// The boxes of one task, with positions relative to the task's corner.
function drawnUnit(model, unit, isOpen) {
  const jobs = unit.workers.flatMap((i) => model.children.get(i) || []);
  const shown = jobs.filter(isOpen);
  const framed = unit.workers.length > 1 || jobs.length > 0;
  const width = framed ? WIDTH.framed : WIDTH.plain;
  const pad = framed ? FRAME.pad : 0;
  let y = pad + (unit.workers.length > 1 ? FRAME.caption - 6 : 0);
  const nodes = unit.workers.map((i) => {
    const node = { i, x: pad, y, width: width - 2 * pad, height: NODE.height };
    y += NODE.height + 6;
    return node;
  });
  y -= 6;
  const children = jobs.map((job) => {
    const caption = { job, y: y + 22, open: shown.includes(job) };
    y += FRAME.caption + 4;
    const names = caption.open ? model.members[job].map((i) => ({ i, name: short(model.name(i)) })) : [];
    const { rows, height } = chips(names, width - 2 * pad);
    const placed = rows.map((row) => ({ ...row, x: row.x + pad, y: row.y + y, height: CHIP.height }));
    y += height + (height ? 4 : 0);
    return { ...caption, chips: placed };
  });
  return { unit, framed, width, height: y + pad, nodes, children };
}

const short = (name) => cut(name, 26);

export function layout(model, isOpen) {
  const columns = ranked(model);
  const boxes = new Map();
  const stacks = [];
  let x = LEFT;
  let bottom = 0;
  columns.forEach((column, rank) => {
    const drawn = ordered(column, boxes, rank).map((unit) => drawnUnit(model, unit, isOpen));
    const width = Math.max(...drawn.map((each) => each.width));
    let y = TOP;
    for (const each of drawn) {
      boxes.set(each.unit, { ...each, width, x, y, rank });
      y += each.height + (each.framed ? 14 : NODE.gap);
    }
    stacks.push(drawn.map((each) => boxes.get(each.unit)));
    bottom = Math.max(bottom, y);
    x += width + COLUMN_GAP;
  });
  return { columns, stacks, boxes: [...boxes.values()], edges: edges(model, boxes, stacks), width: x - COLUMN_GAP + LEFT, height: bottom + 6 };
}

function ordered(column, boxes, rank) {
  if (!rank) return column;
  const middle = (unit) => {
    const ys = [...unit.needs].map((each) => boxes.get(each)?.y || 0);
    return ys.reduce((sum, y) => sum + y, 0) / (ys.length || 1);
  };
  return [...column].sort((a, b) => middle(a) - middle(b) || a.index - b.index);
}

// Where an edge passes the columns between two ranks: between their boxes. Behind a box, it would look
// like two edges of this box.
export function stops(stacks, { x1, y1, x2, y2 }, from, to) {
  return stacks.slice(from + 1, to).map((stack) => {
    const { x, width } = stack[0];
    const y = y1 + ((y2 - y1) * (x + width / 2 - x1)) / (x2 - x1);
    const hit = stack.find((box) => y > box.y - PASS && y < box.y + box.height + PASS);
    if (!hit) return { x, y, width };
    const [above, below] = [hit.y - PASS, hit.y + hit.height + PASS];
    return { x, y: y - above < below - y ? above : below, width };
  });
}

function edges(model, boxes, stacks) {
  const made = [];
  for (const [unit, to] of boxes) {
    const needed = [...unit.needs].map((each) => boxes.get(each)).sort((a, b) => a.y - b.y);
    needed.forEach((from, index) => {
      const out = from.nodes.find(({ i }) => model.chosen[i] === true) || from.nodes[0];
      const y1 = from.y + out.y + NODE.height / 2;
      const y2 = to.y + to.nodes[0].y + NODE.height / 2 + (index - (needed.length - 1) / 2) * 7;
      const line = { x1: from.x + from.width, y1, x2: to.x, y2 };
      made.push({ from: from.unit, to: unit, ...line, stops: stops(stacks, line, from.rank, to.rank) });
    });
  }
  return made;
}
