// Repeats what a view asks for: once a second at most, not more than a tenth of the time, and never while nobody sees the tab.

import { Denied, Lost, Refused } from "./api.js";

const PACE = 1_000;
const PACE_MAX = 10_000;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Runs `task` again and again, until `signal` or until it comes to `false`. The result runs it at once, for what the user has just changed. */
export function poll(task, signal) {
  let [timer, running, wanted, failures] = [0, false, false, 0];

  async function run() {
    clearTimeout(timer);
    if (signal.aborted || document.hidden) return;
    if (running) {
      wanted = true;
      return;
    }
    [running, wanted] = [true, false];
    const start = performance.now();
    let wait = await attempt(start);
    running = false;
    if (wanted) wait = 0;
    if (wait !== null && !signal.aborted) timer = setTimeout(run, wait);
  }

  async function attempt(start) {
    try {
      if ((await task()) === false) return null;
      failures = 0;
      return Math.min(PACE_MAX, Math.max(PACE, 10 * (performance.now() - start)));
    } catch (error) {
      if (signal.aborted || error instanceof Denied) return null;
      if (!(error instanceof Lost || error instanceof Refused)) throw error;
      failures += 1;
      return Math.min(PACE_MAX, PACE * 2 ** (failures - 1));
    }
  }

  document.addEventListener("visibilitychange", run, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  run();
  return run;
}

/** Hears events again and again until `signal`: `stream` makes them, `hear` is called with some at a time. */
export async function follow(stream, hear, signal) {
  while (!signal.aborted) {
    if (document.hidden) await seen(signal);
    const visit = new AbortController();
    let wait = PACE;
    const leave = () => visit.abort();
    const hide = () => document.hidden && leave();
    signal.addEventListener("abort", leave);
    document.addEventListener("visibilitychange", hide);
    try {
      for await (const heard of stream(visit.signal)) hear(heard);
    } catch (error) {
      if (error instanceof Denied) return;
      if (!(error instanceof Refused || error instanceof Lost || visit.signal.aborted || error instanceof TypeError)) throw error;
      if (error instanceof Refused) {
        wait = PACE_MAX;
        hear([{ event: "refused", text: error.message }]);
      }
    } finally {
      signal.removeEventListener("abort", leave);
      document.removeEventListener("visibilitychange", hide);
    }
    if (!signal.aborted && !document.hidden) await pause(wait);
  }
}

function seen(signal) {
  return new Promise((done) => {
    document.addEventListener("visibilitychange", done, { once: true });
    signal.addEventListener("abort", done);
  });
}
