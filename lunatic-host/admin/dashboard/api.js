// Asks the program. Whoever watches `link` hears whether it answers.

import * as token from "./token.js";

/** The program does not know the token. */
export class Denied extends Error {}
/** Nobody answers. */
export class Lost extends Error {}
/** The program has said no. */
export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/** `live`, `lost` or `denied`, in the `detail` of its events. */
export const link = new EventTarget();
let last = [];

function tell(state, why = "") {
  // Each token that was not right is told of.
  if (last[0] === state && last[1] === why && state !== "denied") return;
  last = [state, why];
  link.dispatchEvent(new CustomEvent("change", { detail: { state, why } }));
}

export const get = async (path, signal) => (await ask("GET", path, signal)).json();
export const post = async (path) => (await ask("POST", path)).json();
/** A file that the program makes when it is asked. */
export const file = async (path) => (await ask("POST", path)).blob();

let paths = null;

/** Whether the program has a path, as `/v1` lists them: one of another version may not. */
export async function offers(path, signal) {
  paths ??= await (await ask("GET", "/v1", signal)).text();
  return paths.split(/[\s,;]+/).includes(path);
}

async function ask(method, path, signal) {
  const answer = await send(method, path, signal);
  if (answer.ok) {
    tell("live");
    return answer;
  }
  const said = await answer.json().catch(() => ({}));
  const text = said.error ?? `${answer.status} ${answer.statusText}`;
  if (answer.status === 401) {
    tell("denied", token.current() ? "The token was not right." : "");
    token.forget();
    throw new Denied(text);
  }
  if (answer.status === 502) {
    tell("lost", text);
    throw new Lost(text);
  }
  tell("live");
  throw new Refused(answer.status, text);
}

async function send(method, path, signal) {
  const said = token.current() && { Authorization: `Bearer ${token.current()}` };
  const request = { method, signal, cache: "no-store", headers: said || {} };
  for (let last = false; ; last = true) {
    try {
      return await fetch(path, request);
    } catch (error) {
      if (signal?.aborted) throw error;
      // The door closes connections from time to time, perhaps just when this went out. What changes something is not sent twice.
      if (last || method !== "GET") {
        tell("lost");
        throw new Lost("the program does not answer");
      }
    }
  }
}

/** Events as they come, until the stream ends. */
export async function* events(query, signal) {
  const answer = await ask("GET", `/v1/events?${query}`, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    const heard = lines.filter((line) => line.startsWith("data: ")).map((line) => JSON.parse(line.slice(6)));
    if (heard.length) yield heard;
  }
}
