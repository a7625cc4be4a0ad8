// What the timeline draws: one lane a worker, child jobs below the worker that started them.

// Bars of a worker: {kind, from, to, state, title}; kinds: work, child, pause, gate.
function bars(model, i, attempts) {
  const end = (value) => value ?? model.now();
  if (model.t0[i] === null || model.state[i] === "skipped") return [];
  const made = attempts?.length ? ofAttempts(model, i, attempts) : [{ kind: "work", from: model.t0[i], to: end(model.t1[i]), state: model.state[i], title: "" }];
  for (const job of model.children.get(i) || []) {
    const times = model.members[job].filter((k) => model.t0[k] !== null);
    if (!times.length) continue;
    const from = Math.min(...times.map((k) => model.t0[k]));
    const to = Math.max(...times.map((k) => end(model.t1[k])));
    made.push({ kind: "child", from, to, title: `waits for child job ${model.jobs[job].job_id}` });
  }
  return made;
}

function ofAttempts(model, i, attempts) {
  const at = (iso) => Date.parse(iso) / 1000 - model.at;
  const made = [];
  attempts.forEach((attempt, index) => {
    const last = index === attempts.length - 1;
    const from = at(attempt.started_at);
    const to = attempt.ended_at ? at(attempt.ended_at) : model.now();
    if (made.length) made.push({ kind: "pause", from: made.at(-1).to, to: from, title: "pause before the retry" });
    made.push({ kind: "work", from, to, state: last ? model.state[i] : "failed", title: `attempt ${attempt.number}${attempt.reason ? `: ${attempt.reason}` : ""}` });
    // After its last attempt a worker's end is that of its gates.
    if (last && model.t1[i] !== null && model.t1[i] - to > 0.05) made.push({ kind: "gate", from: to, to: model.t1[i], state: model.state[i], title: "gates" });
  });
  return made;
}

export function lanes(model, details) {
  const attempts = new Map((details?.workers || []).map((worker) => [worker.worker_id, worker.attempts]));
  const made = [];
  const add = (job, depth) => {
    const members = [...model.members[job]].sort((a, b) => (model.t0[a] ?? Infinity) - (model.t0[b] ?? Infinity) || a - b);
    for (const i of members) {
      made.push({ i, depth, bars: () => bars(model, i, attempts.get(model.id[i])) });
      for (const child of model.children.get(i) || []) add(child, depth + 1);
    }
  };
  if (model.jobs.length) add(0, 0);
  return made;
}

export function span(model) {
  let [from, to] = [Infinity, 0];
  for (let i = 0; i < model.n; i += 1) {
    if (model.t0[i] === null) continue;
    from = Math.min(from, model.t0[i]);
    to = Math.max(to, model.t1[i] ?? model.now());
  }
  return from === Infinity ? { from: 0, to: 1 } : { from, to: Math.max(to, from + 0.1) };
}

// Round steps, at most about ten of them.
export function ticks(from, to, most) {
  const least = (to - from) / most;
  const power = 10 ** Math.floor(Math.log10(least));
  const nice = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= least);
  const step = least > 30 ? [60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400].find((each) => each >= least) || nice : nice;
  const made = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) made.push(at);
  return made;
}
