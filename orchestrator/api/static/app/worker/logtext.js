// The text of a worker's log: read whole if it is not large, else its end, then as it grows.
import { address, request, text, Away } from "../core/api.js";
import { answering } from "../core/connection.js";
import { useEffect, useRef, useState } from "../core/html.js";
import { pieces } from "../core/live.js";
import { linesOf } from "./lines.js";

const WHOLE_BYTES = 4 * 1024 ** 2;
const END_LINES = 5000;
const MOST_LINES = 200_000;
const PAUSE_MS = 500;

class Reading {
  constructor(url, follow, show) {
    Object.assign(this, { url, follow, show, stopped: new AbortController(), frame: 0 });
    this.clear(false);
  }

  clear(isEnd) {
    this.state = { lines: [], rest: "", isEnd, loading: true };
  }

  async run() {
    while (!this.stopped.signal.aborted) {
      try {
        await this.read();
        return;
      } catch (error) {
        if (error.name === "AbortError" || this.stopped.signal.aborted) return;
        if (error.status) return this.tell({ error, loading: false });
        if (!(error instanceof Away)) await request("/healthz").catch(() => {});
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
        await answering();
      }
    }
  }

  async read() {
    const { signal } = this.stopped;
    const head = await request(this.url, { method: "HEAD", signal });
    const isEnd = Number(head.headers.get("Content-Length")) > WHOLE_BYTES;
    const query = isEnd ? { tail: END_LINES } : {};
    this.clear(isEnd);
    if (!this.follow) {
      this.add(await text(this.url, query, { signal }));
      return this.tell({ loading: false });
    }
    const answer = await request(address(this.url, { ...query, follow: true }), { signal });
    this.tell({ loading: false });
    for await (const piece of pieces(answer.body)) this.add(piece);
    return this.tell({ ended: true });
  }

  add(piece) {
    const whole = this.state.rest + piece;
    const end = whole.lastIndexOf("\n") + 1;
    this.state.lines.push(...(end ? linesOf(whole.slice(0, end)) : []));
    this.state.rest = whole.slice(end);
    if (this.state.lines.length > MOST_LINES) {
      this.state.lines = this.state.lines.slice(-MOST_LINES / 2);
      this.state.isEnd = true;
    }
    this.frame ||= requestAnimationFrame(() => this.tell({}));
  }

  tell(more) {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    Object.assign(this.state, more);
    if (!this.stopped.signal.aborted) this.show({ ...this.state });
  }

  end() {
    this.stopped.abort();
    cancelAnimationFrame(this.frame);
  }
}

// {lines, isEnd, loading, ended, error}: `isEnd` if the beginning is not among the lines.
export function useLog(url, follow) {
  const [state, show] = useState({ lines: [], loading: true });
  const reading = useRef(null);
  useEffect(() => {
    if (!url) return undefined;
    reading.current = new Reading(url, follow, show);
    reading.current.run();
    return () => reading.current.end();
  }, [url]);
  const lines = state.rest ? [...state.lines, ...linesOf(state.rest)] : state.lines;
  return { ...state, lines };
}
