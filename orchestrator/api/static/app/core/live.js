// Event streams: read by fetch, resumed after the last event, closed while the page is hidden.
import { request, address, Away, Problem } from "./api.js";
import { answering } from "./connection.js";

const HIDDEN_MS = 5000;
const PAUSE_MS = 400;
// Pause after an error of the server.
const ERROR_MS = 5000;
// Maximum pause before the next stream. The server ends the stream of an ended job; the next stream shows if
// the job runs again. The pause doubles with each stream without an event.
const IDLE_MS = 60000;

// Calls onEvent({id, kind, data}) for each event. Returns a function that ends the stream; its
// property `again` reads the next events without a pause.
export function follow(given, { from, query = {}, onEvent, onOpen }) {
  let last = from;
  let stopped = false;
  let current = null;
  let timer = 0;
  let pause = PAUSE_MS;
  let wake = () => {};

  async function read() {
    current = new AbortController();
    const headers = last === undefined ? {} : { "Last-Event-ID": String(last) };
    const response = await request(address(given, query), { headers, signal: current.signal });
    onOpen?.();
    for await (const event of events(response.body)) {
      if (event.id !== undefined) last = event.id;
      pause = PAUSE_MS;
      onEvent(event);
    }
  }

  async function run() {
    while (!stopped && !document.hidden) {
      try {
        await read();
        pause = Math.min(2 * pause, IDLE_MS);
      } catch (error) {
        if (error.name === "AbortError") return;
        // Above 500: the server has too many connections at present.
        if (error instanceof Problem && error.status < 500) return;
        pause = error instanceof Problem ? ERROR_MS : PAUSE_MS;
        if (!(error instanceof Problem || error instanceof Away)) await request("/healthz").catch(() => {});
      }
      await answering();
      await new Promise((resolve) => {
        wake = resolve;
        setTimeout(resolve, pause);
      });
    }
  }

  function seen() {
    clearTimeout(timer);
    if (document.hidden) {
      timer = setTimeout(() => { current?.abort(); current = null; }, HIDDEN_MS);
    } else if (!current || current.signal.aborted) run();
  }

  document.addEventListener("visibilitychange", seen);
  run();
  const stop = () => {
    stopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
    current?.abort();
  };
  return Object.assign(stop, { again: () => { pause = PAUSE_MS; wake(); } });
}

async function* events(body) {
  let rest = "";
  for await (const piece of pieces(body)) {
    const blocks = (rest + piece).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = parsed(block);
      if (event) yield event;
    }
  }
}

export async function* pieces(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    yield value;
  }
}

function parsed(block) {
  const event = { kind: "message" };
  let data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("data:")) data += line.slice(5);
    else if (line.startsWith("event:")) event.kind = line.slice(6).trim();
    else if (line.startsWith("id:")) event.id = line.slice(3).trim();
  }
  if (!data && event.kind === "message") return null;
  try {
    event.data = data ? JSON.parse(data) : {};
  } catch {
    return null;
  }
  return event;
}

// Returns a function that calls `act` at most once per `ms`. After each call of the function, `act` is called
// at least once.
export function throttled(act, ms) {
  let timer = 0;
  let next = 0;
  const wish = () => {
    if (timer) return;
    timer = setTimeout(() => {
      timer = 0;
      next = Date.now() + ms;
      act();
    }, Math.max(0, next - Date.now()));
  };
  wish.cancel = () => clearTimeout(timer);
  return wish;
}
