// The graph's layout. A task's column is the length of the longest path to it. In a column, tasks are
// near their dependencies. A full column has boxes for groups of tasks. The time is linear in tasks and edges.

import { columns, cut } from "../text/format.js";
import { attention, WANTED } from "./model.js";

// Maximum number of boxes in a column; a column with more tasks has groups.
export const MOST_IN_COLUMN = 16;
// Maximum number of tasks with a box in a closed group.
export const MOST_IN_GROUP = 5;
const NODE = { height: 52, gap: 10 };
const CHIP = { height: 32, gap: 6, pad: 10 };
const FRAME = { pad: 10, caption: 26 };
const WIDTH = { plain: 216, framed: 336, group: 300, whole: 660 };
const GROUP_HEAD = 62;
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

// In a full column, the tasks that depend on the same boxes are one box, with the tasks as `group`.
function grouped(columns) {
  const boxOf = new Map();
  return columns.map((column) => {
    for (const unit of column) unit.needs = new Set([...unit.needs].map((each) => boxOf.get(each)));
    const made = column.length > MOST_IN_COLUMN ? groups(column) : column;
    for (const box of made) for (const unit of box.group || [box]) boxOf.set(unit, box);
    return made;
  });
}

function groups(column) {
  const byNeeds = new Map();
  for (const unit of column) {
    const key = [...unit.needs].map((each) => each.index).sort().join();
    if (!byNeeds.has(key)) byNeeds.set(key, []);
    byNeeds.get(key).push(unit);
  }
  const parts = byNeeds.size > MOST_IN_COLUMN ? [column] : [...byNeeds.values()];
  return parts.map((group) => (group.length === 1 ? group[0]
    : { ...group[0], group, workers: group.flatMap((unit) => unit.workers), needs: new Set(group.flatMap((unit) => [...unit.needs])) }));
}

export const groupKey = (unit) => `group ${unit.index}`;

// The common beginning of the tasks' names, such as "Test module".
export function commonName(model, units) {
  const names = units.map((unit) => model.name(unit.workers[0]));
  const stem = names[0].replace(/[\s:#_-]*\d+.*$/, "") || names[0];
  return names.every((name) => name.startsWith(stem)) ? stem : `${stem} and others`;
}

// The workers that a person looks for first: failed and running workers, and workers with child jobs.
export const wanted = (model, workers) => workers.filter((i) => WANTED.has(model.state[i]) || model.children.has(i)).sort((a, b) => attention(model.state[a]) - attention(model.state[b]) || a - b);

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

// The box of a group. It has a head, and boxes of failed tasks, running tasks, tasks with child jobs, and the
// chosen task. An open group also shows all other tasks.
function drawnGroup(model, unit, isWhole, chosen) {
  const width = isWhole ? WIDTH.whole : WIDTH.group;
  let y = GROUP_HEAD;
  const first = wanted(model, unit.workers);
  const shown = first.slice(0, MOST_IN_GROUP);
  shown.push(...first.slice(MOST_IN_GROUP).filter((i) => model.children.has(i)).slice(0, MOST_IN_GROUP));
  if (!isWhole && unit.workers.includes(chosen) && !shown.includes(chosen)) shown.push(chosen);
  const nodes = shown.map((i) => {
    const node = { i, x: FRAME.pad, y, width: width - 2 * FRAME.pad, height: NODE.height };
    y += NODE.height + 6;
    return node;
  });
  const boxed = new Set(nodes.map(({ i }) => i));
  const others = isWhole ? unit.workers.filter((i) => !boxed.has(i)).map((i) => ({ i, name: short(model.name(i)) })) : [];
  const toggle = { y: y + 14, isWhole };
  const { rows, height } = chips(others, width - 2 * FRAME.pad);
  y += FRAME.caption;
  const placed = rows.map((row) => ({ ...row, x: row.x + FRAME.pad, y: row.y + y, height: CHIP.height }));
  return { unit, framed: true, width, height: y + height + (height ? FRAME.pad : 0), nodes, children: [], toggle, chips: placed };
}

// The boxes of one task, with positions relative to the task's corner.
function drawnUnit(model, unit, isOpen, chosen) {
  if (unit.group) return drawnGroup(model, unit, isOpen(groupKey(unit)), chosen);
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

export function layout(model, isOpen, chosen, isShown) {
  const columns = grouped(ranked(model));
  const boxes = new Map();
  const stacks = [];
  let x = LEFT;
  let bottom = 0;
  columns.forEach((column, rank) => {
    const drawn = ordered(column, boxes, rank).filter(isShown).map((unit) => drawnUnit(model, unit, isOpen, chosen));
    const width = Math.max(0, ...drawn.map((each) => each.width));
    let y = TOP;
    for (const each of drawn) {
      boxes.set(each.unit, { ...each, width, x, y, rank });
      y += each.height + (each.framed ? 14 : NODE.gap);
    }
    stacks.push(drawn.map((each) => boxes.get(each.unit)));
    bottom = Math.max(bottom, y);
    x += drawn.length ? width + COLUMN_GAP : 0;
  });
  return { stacks, boxes: [...boxes.values()], edges: edges(model, boxes, stacks), width: Math.max(LEFT, x - COLUMN_GAP) + LEFT, height: Math.max(bottom, TOP + NODE.height + NODE.gap) + 6 };
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
  return stacks.slice(from + 1, to).filter((stack) => stack.length).map((stack) => {
    const { x, width } = stack[0];
    const y = y1 + ((y2 - y1) * (x + width / 2 - x1)) / (x2 - x1);
    const hit = stack.find((box) => y > box.y - PASS && y < box.y + box.height + PASS);
    if (!hit) return { x, y, width };
    const [above, below] = [hit.y - PASS, hit.y + hit.height + PASS];
    return { x, y: y - above < below - y ? above : below, width };
  });
}

// The height at which an edge meets a box.
const port = (box, node = box.nodes[0]) => box.y + (box.unit.group ? 0 : node.y) + NODE.height / 2;

function edges(model, boxes, stacks) {
  const made = [];
  for (const [unit, to] of boxes) {
    const needed = [...unit.needs].map((each) => boxes.get(each)).filter(Boolean).sort((a, b) => a.y - b.y);
    needed.forEach((from, index) => {
      const y1 = port(from, from.nodes.find(({ i }) => model.chosen[i] === true));
      const y2 = port(to) + (index - (needed.length - 1) / 2) * 7;
      const line = { x1: from.x + from.width, y1, x2: to.x, y2 };
      made.push({ from: from.unit, to: unit, ...line, stops: stops(stacks, line, from.rank, to.rank) });
    });
  }
  return made;
}
