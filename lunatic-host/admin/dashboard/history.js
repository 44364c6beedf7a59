// The figures of the program over time, as the overview has asked for them: what they were a while ago is known nowhere else.

/** So many samples are kept, one a second. */
const SAMPLES_MAX = 600;
/** After so many seconds without a sample a line is interrupted. */
const GAP = 15;

const samples = [];
let last = null;

/** Takes down what the program holds. */
export function record(system, now = Date.now() / 1_000) {
  if (last && (last.pid !== system.pid || last.uptime_ms > system.uptime_ms)) {
    samples.length = 0;
    last = null;
  }
  if (samples.length && now - samples.at(-1).at > GAP) samples.push({ at: now - 0.001 });
  if (last) samples.push(sample(last, system, now));
  last = system;
  while (samples.length > SAMPLES_MAX) samples.shift();
}

function sample(before, system, at) {
  const seconds = Math.max(1, system.uptime_ms - before.uptime_ms) / 1_000;
  const each = (now, then) => Math.max(0, now - then) / seconds;
  const sum = (ended) => Object.values(ended).reduce((all, some) => all + some, 0);
  const busy = system.workers_us.map((now, worker) => Math.min(1, each(now, before.workers_us[worker] ?? now) / 1e6));
  return {
    at,
    ready: system.processes - system.waiting,
    waiting: system.waiting - system.frozen,
    frozen: system.frozen,
    spawns: each(system.spawned, before.spawned),
    ends: each(sum(system.ended), sum(before.ended)),
    failures: each(system.failed, before.failed),
    ...system.queues,
    linear: system.memory_bytes,
    queued: system.queued_bytes,
    kept: system.kept_bytes - system.queued_bytes,
    resident: system.resident_bytes || null,
    busy: busy.length ? busy.reduce((all, some) => all + some, 0) : null,
  };
}

/** When the samples were taken, and what `names` were then. */
export const columns = (names) => [samples.map(({ at }) => at), ...names.map((name) => samples.map((one) => one[name] ?? null))];

/** The newest sample, once there are two looks to compare. */
export const newest = () => samples.at(-1);
