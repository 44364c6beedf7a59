// Numbers, sizes and times for people.

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const number = (value) => whole.format(value);

/** A number that has little room. */
export function compact(value) {
  if (value >= 10_000) return short.format(value);
  return whole.format(value < 100 ? Math.round(value * 10) / 10 : Math.round(value));
}

/** Bytes. */
export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let [value, unit] = [bytes / 1024, 0];
  while (value >= 1024 && unit + 1 < units.length) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(value < 100 ? 1 : 0)} ${units[unit]}`;
}

/** Milliseconds. */
export function time(ms) {
  const two = (value) => String(Math.floor(value)).padStart(2, "0");
  if (ms < 1_000) return `${ms} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)}:${two((ms / 1_000) % 60)} min`;
  if (ms < 86_400_000) return `${Math.floor(ms / 3_600_000)}:${two((ms / 60_000) % 60)} h`;
  return `${Math.floor(ms / 86_400_000)} d ${Math.floor((ms / 3_600_000) % 24)} h`;
}

export const rate = (value) => `${compact(value)}/s`;
export const percent = (value) => `${Math.round(value)} %`;

/** The time of day. */
export const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");

/** The title of a process without the modules that its types are in; registered names are left as they are. */
export function brief(process) {
  if (process.names?.length) return process.title;
  return process.title.replace(/(?:\w+::)+(?=\w)/g, "");
}

/** The id of a process as it stands in a path: a `#` would begin something else there. */
export const bare = (id) => id.replace(/^#/, "");

/** One, or several. */
export const count = (value, one, several) => `${number(value)} ${value === 1 ? one : several}`;
