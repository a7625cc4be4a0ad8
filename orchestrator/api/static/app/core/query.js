// Data of one address for a page: fetched at first and again on request, one fetch at a time.
import { Away, get } from "./api.js";
import { answering } from "./connection.js";
import { useEffect, useState } from "./html.js";

class Query {
  constructor(load, show) {
    Object.assign(this, { load, show, state: { loading: true }, busy: false, again: false });
    this.stopped = new AbortController();
  }

  async refresh() {
    if (this.busy) {
      this.again = true;
      return;
    }
    this.busy = true;
    try {
      const data = await this.load(this.stopped.signal);
      this.put({ data, at: Date.now() });
    } catch (error) {
      if (error instanceof Away) this.wait();
      else if (error.name !== "AbortError") this.put({ ...this.state, loading: false, error });
    }
    this.busy = false;
    if (this.again) {
      this.again = false;
      this.refresh();
    }
  }

  async wait() {
    await answering();
    this.refresh();
  }

  put(state) {
    this.state = state;
    if (!this.stopped.signal.aborted) this.show(state);
  }
}

// Returns {data, error, loading, refresh}. `every`: milliseconds between reads while the page is visible.
export function useQuery(address, query, { every, load } = {}) {
  const [shown, show] = useState({ loading: true });
  const [made, make] = useState(null);
  const key = address && address + JSON.stringify(query || {});
  useEffect(() => {
    if (!address) return undefined;
    const fetcher = load || ((signal) => get(address, query, { signal }));
    const running = new Query(fetcher, show);
    make(running);
    running.refresh();
    const timer = every && setInterval(() => document.hidden || running.refresh(), every);
    return () => {
      clearInterval(timer);
      running.stopped.abort();
    };
  }, [key, every]);
  return { ...shown, refresh: () => made?.refresh() };
}
