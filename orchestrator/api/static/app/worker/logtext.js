// The text of a worker's log: all of a small log; of a large log its end, and earlier parts on request.
// New output is added. Sections are attempts, and parts that a program marks with ::group::.
import { address, request, text, Away } from "../core/api.js";
import { answering } from "../core/connection.js";
import { useEffect, useRef, useState } from "../core/html.js";
import { pieces } from "../core/live.js";
import { linesOf } from "./lines.js";

const WHOLE_BYTES = 4 * 1024 ** 2;
const END_BYTES = 1024 ** 2;
const EARLIER_BYTES = 8 * 1024 ** 2;
const MOST_LINES = 1_500_000;
const PAUSE_MS = 500;
const MARK = /^(?:--- attempt (\d+) ---|::group::(.*)|(::endgroup::))$/;
const NEWLINE = 10;

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// {at, attempt | group | end} for each line that begins or ends a section.
function marksOf(lines, from) {
  const made = [];
  lines.forEach((line, index) => {
    const found = (line.startsWith("--- a") || line.startsWith("::")) && MARK.exec(line);
    if (found) made.push({ at: from + index, attempt: found[1] && Number(found[1]), group: found[2], end: Boolean(found[3]) });
  });
  return made;
}

class Reading {
  constructor(url, follow, show) {
    Object.assign(this, { url, follow, show, stopped: new AbortController(), frame: 0 });
    this.clear(0);
  }

  // `start`: offset of the first loaded byte; `end`: offset after the last loaded byte.
  clear(start) {
    this.state = { lines: [], marks: [], rest: "", start, loading: true, busy: false };
    this.end = start;
  }

  async run() {
    while (!this.stopped.signal.aborted) {
      try {
        await this.read();
        return;
      } catch (error) {
        if (error.name === "AbortError" || this.stopped.signal.aborted) return;
        if (error.status) return this.publish({ error, loading: false });
        if (!(error instanceof Away)) await request("/healthz").catch(() => {});
        await wait(PAUSE_MS);
        await answering();
      }
    }
  }

  async read() {
    const { signal } = this.stopped;
    const head = await request(this.url, { method: "HEAD", signal });
    const size = Number(head.headers.get("Content-Length"));
    if (size > WHOLE_BYTES) return this.readLarge(size);
    this.clear(0);
    if (!this.follow()) {
      this.add(await text(this.url, {}, { signal }));
      return this.publish({ loading: false });
    }
    const answer = await request(address(this.url, { follow: true }), { signal });
    this.publish({ loading: false });
    for await (const piece of pieces(answer.body)) this.add(piece);
    return this.publish({ ended: true });
  }

  async readLarge(size) {
    if (!this.end || this.end > size) this.clear(size - END_BYTES);
    const decoder = new TextDecoder();
    while (!this.stopped.signal.aborted) {
      const running = this.follow();
      const bytes = await this.range(this.end, EARLIER_BYTES);
      const whole = this.state.lines.length || this.state.rest ? bytes : this.fromLine(bytes);
      this.end += bytes.length;
      this.add(decoder.decode(whole, { stream: true }));
      this.publish({ loading: false });
      if (!bytes.length && !running) return;
      if (!bytes.length) await wait(PAUSE_MS);
    }
  }

  async range(from, limit) {
    const answer = await request(address(this.url, { from, limit }), { signal: this.stopped.signal });
    return new Uint8Array(await answer.arrayBuffer());
  }

  // Drops the beginning of a part up to the first line end, because that line is incomplete.
  fromLine(bytes) {
    if (!this.state.start) return bytes;
    const skipped = bytes.indexOf(NEWLINE) + 1;
    this.state.start += skipped;
    return bytes.subarray(skipped);
  }

  // Loads one more part, or `all` parts.
  async earlier(all) {
    if (this.state.busy || !this.state.start) return;
    this.publish({ busy: true });
    try {
      do await this.part();
      while (all && this.state.start > 0 && !this.stopped.signal.aborted);
    } catch {
      // The button appears again, so that the user can retry.
    }
    this.publish({ busy: false });
  }

  async part() {
    const { start } = this.state;
    const from = Math.max(0, start - EARLIER_BYTES);
    const bytes = await this.range(from, start - from);
    this.state.start = from;
    const lines = linesOf(new TextDecoder().decode(this.fromLine(bytes)));
    const later = this.state.marks.map((mark) => ({ ...mark, at: mark.at + lines.length }));
    this.publish({ lines: lines.concat(this.state.lines), marks: [...marksOf(lines, 0), ...later] });
  }

  add(piece) {
    const whole = this.state.rest + piece;
    const end = whole.lastIndexOf("\n") + 1;
    const fresh = end ? linesOf(whole.slice(0, end)) : [];
    const { lines, marks } = this.state;
    marks.push(...marksOf(fresh, lines.length));
    for (const line of fresh) lines.push(line);
    this.state.rest = whole.slice(end);
    if (lines.length > MOST_LINES) {
      // The offset of the first line is unknown now, so only the download has earlier parts.
      Object.assign(this.state, { lines: lines.slice(-MOST_LINES / 2), marks: [], start: NaN });
    }
    this.frame ||= requestAnimationFrame(() => this.publish({}));
  }

  publish(more) {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    Object.assign(this.state, more);
    if (!this.stopped.signal.aborted) this.show({ ...this.state });
  }

  stop() {
    this.stopped.abort();
    cancelAnimationFrame(this.frame);
  }
}

// {lines, marks, start, loading, ended, error, busy, earlier}: `start` is 0 if the first line of the
// log is loaded.
export function useLog(url, follow) {
  const [state, show] = useState({ lines: [], marks: [], start: 0, loading: true });
  const reading = useRef(null);
  const latest = useRef(follow);
  latest.current = follow;
  useEffect(() => {
    if (!url) return undefined;
    const mine = new Reading(url, () => latest.current, show);
    reading.current = mine;
    mine.run();
    return () => mine.stop();
  }, [url]);
  const lines = state.rest ? [...state.lines, ...linesOf(state.rest)] : state.lines;
  return { ...state, lines, earlier: (all) => reading.current?.earlier(all) };
}
