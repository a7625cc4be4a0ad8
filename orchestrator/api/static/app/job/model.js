// All workers of a job tree: read in columns once, then updated by the job's brief events.
import { get, path, Away } from "../core/api.js";
import { answering } from "../core/connection.js";
import { useEffect, useState } from "../core/html.js";
import { follow, throttled } from "../core/live.js";
import { drawn, ENDED } from "../parts/state.js";

// Events lack files, gates, and new child jobs: these are read again, less often for large jobs.
const AGAIN_MS = [[500, 1500], [3000, 5000], [Infinity, 15000]];
// A large job is redrawn ten times a second, a small one with the next frame.
const LARGE = 1000;
const DRAW_MS = 100;
const COLUMNS = ["worker", "task", "title", "j", "s", "a", "t0", "t1", "idle", "cost", "tokens", "attempt", "files", "chosen", "parent", "gates", "deps"];
const STRUCTURE = new Set(["job_submitted", "job_planned", "job_reopened", "job_retried", "job_ended", "plan_edited", "candidate_chosen", "worker_ended", "reset"]);

const list = (column, n) => (Array.isArray(column) ? column : new Array(n).fill(column));

export class Model {
  constructor(job) {
    Object.assign(this, { job, n: 0, version: 0, seq: 0, jobs: [], listeners: new Set() });
  }

  load(given) {
    for (const name of COLUMNS) this[name] = list(given[name], given.n);
    Object.assign(this, {
      n: given.n, seq: given.seq, at: given.at, jobs: given.jobs, agents: given.agents, reason: given.reason,
      chain: new Set(given.chain), state: this.s.map((each) => drawn(given.statuses[each])),
    });
    // Null means that the workers are numbered from 1, in order.
    this.id = this.worker.map((each, index) => `worker_${each ?? index + 1}`);
    this.place = new Map(this.id.map((id, index) => [id, index]));
    this.count();
  }

  count() {
    this.counts = {};
    this.own = {};
    for (let i = 0; i < this.n; i += 1) this.add(i, 1);
  }

  add(i, by) {
    const state = this.state[i];
    this.counts[state] = (this.counts[state] || 0) + by;
    if (this.j[i] === 0) this.own[state] = (this.own[state] || 0) + by;
  }

  // Returns true if the event changes a shown value.
  apply({ k, j, w, st, at, cost, tokens }) {
    if (!w) return this.applyToJob(j, st);
    const i = this.place.get(w);
    if (i === undefined) return false;
    if (cost !== undefined) this.cost[i] = cost;
    if (tokens !== undefined) this.tokens[i] = tokens;
    if (k === "worker_started") this.start(i, at);
    if (k === "worker_ended" || ENDED.has(drawn(st))) this.t1[i] = at - this.at;
    if (st) this.put(i, drawn(st));
    return true;
  }

  applyToJob(id, st) {
    const found = st && this.jobs.find((each) => each.job_id === id);
    if (found) found.status = st;
    return Boolean(found);
  }

  start(i, at) {
    if (this.t0[i] === null) this.t0[i] = at - this.at;
    // The time between two attempts does not count as the worker's time.
    if (this.t1[i] !== null) this.idle[i] += Math.max(0, at - this.at - this.t1[i]);
    this.t1[i] = null;
    this.attempt[i] += 1;
  }

  put(i, state) {
    this.add(i, -1);
    this.state[i] = state;
    this.add(i, 1);
  }

  name(i) {
    return this.title[i] || String(this.task[i]) || this.id[i];
  }

  agent(i) {
    return this.agents[this.a[i]] || "";
  }

  // Numbers of gates, such as "2/3, 1 did not run"; empty without gates.
  gateCounts(i) {
    if (!this.gates[i]) return "";
    const [passed, failed, unrun] = this.gates[i];
    return [passed + failed && `${passed}/${passed + failed}`, unrun && `${unrun} did not run`].filter(Boolean).join(", ");
  }

  seconds(i) {
    // While a worker waits for its next attempt, its time does not increase.
    if (this.t0[i] === null || ["skipped", "pending"].includes(this.state[i])) return null;
    const end = this.t1[i] ?? (ENDED.has(this.state[i]) ? null : this.now());
    return end === null ? null : Math.max(0, end - this.t0[i] - this.idle[i]);
  }

  now() {
    return Date.now() / 1000 - this.at;
  }

  get status() {
    return this.jobs[0]?.status;
  }

  get isActive() {
    return !ENDED.has(this.status);
  }

  // By index of a worker: the indexes of its child jobs in `jobs`.
  get children() {
    if (this.childrenOf?.seq !== this.version) {
      const made = new Map();
      this.jobs.forEach((job, index) => {
        const parent = index && this.place.get(job.parent_worker);
        if (index && parent !== undefined) made.set(parent, [...(made.get(parent) || []), index]);
      });
      this.childrenOf = { seq: this.version, made };
    }
    return this.childrenOf.made;
  }

  get members() {
    if (this.membersOf?.n !== this.n) {
      const made = this.jobs.map(() => []);
      for (let i = 0; i < this.n; i += 1) made[this.j[i]]?.push(i);
      this.membersOf = { n: this.n, made };
    }
    return this.membersOf.made;
  }

  changed() {
    this.version += 1;
    for (const each of this.listeners) each(this.version);
  }
}

const ATTENTION = { failed: 0, timeout: 1, running: 2, waiting: 3, pending: 4, skipped: 5, cancelled: 6, success: 7 };
export const attention = (state) => ATTENTION[state];
// A group of similar workers always shows its workers in these states.
export const WANTED = new Set(["failed", "timeout", "running", "waiting"]);

// The model of one job, which all its views share.
let open = null;

class Following {
  constructor(job) {
    this.model = new Model(job);
    this.users = 0;
    this.error = null;
    this.drawing = false;
    this.stop = Object.assign(() => {}, { again: () => {} });
  }

  async begin() {
    try {
      await this.read();
    } catch (error) {
      if (!(error instanceof Away)) {
        this.error = error;
        this.model.changed();
        return;
      }
      await answering();
      return this.begin();
    }
    const { model } = this;
    this.stop = follow(path("jobs", model.job, "events"), {
      from: model.seq, query: { fields: "brief" }, onEvent: (event) => this.take(event),
    });
  }

  async read() {
    const { model } = this;
    const columns = await get(path("jobs", model.job, "columns"));
    if (columns.seq >= model.seq || columns.n !== model.n) model.load(columns);
    model.changed();
    const [, pause] = AGAIN_MS.find(([most]) => model.n < most);
    if (this.pause !== pause) {
      this.pause = pause;
      this.again?.cancel();
      this.again = throttled(() => this.read().catch(() => {}), pause);
    }
  }

  take({ kind, data }) {
    const { model } = this;
    const known = model.apply(data);
    if (data.seq) model.seq = data.seq;
    if (!known || STRUCTURE.has(kind)) this.again();
    if (known && !this.drawing) this.draw();
  }

  // All events since the last redraw cause one redraw.
  draw() {
    this.drawing = true;
    const now = () => requestAnimationFrame(() => {
      this.drawing = false;
      this.model.changed();
    });
    if (this.model.n > LARGE) setTimeout(now, DRAW_MS);
    else now();
  }

  end() {
    this.stop();
    this.again?.cancel();
  }
}

export function useJob(job) {
  const [, show] = useState(0);
  const [following, keep] = useState(null);
  useEffect(() => {
    if (open?.model.job !== job) {
      open?.end();
      open = new Following(job);
      open.begin();
    }
    const mine = open;
    mine.users += 1;
    keep(mine);
    mine.model.listeners.add(show);
    show(mine.model.version);
    return () => {
      mine.model.listeners.delete(show);
      mine.users -= 1;
      // The next view of the same job may use the model again within this time.
      setTimeout(() => {
        if (mine.users || open !== mine) return;
        mine.end();
        open = null;
      }, 300);
    };
  }, [job]);
  const current = following?.model.job === job ? following : null;
  return {
    model: current?.model.n || current?.model.jobs.length ? current.model : null,
    error: current?.error,
    refresh: () => {
      current?.stop.again();
      return current?.read().catch(() => {});
    },
  };
}

// Redraws regularly while a worker runs, so that its shown time increases.
export function useTick(active, ms = 1000) {
  const [, tick] = useState(0);
  useEffect(() => {
    if (!active) return undefined;
    const timer = setInterval(() => document.hidden || tick((n) => n + 1), ms);
    return () => clearInterval(timer);
  }, [active, ms]);
}
