// The secret that the program has printed. It stays in this tab and is handed to other tabs of this dashboard that ask; no cookie, as
// that would go to every port of this machine.

const KEY = "lunatic.token";
const tabs = new BroadcastChannel(KEY);
let token = null;

tabs.addEventListener("message", ({ data }) => {
  if (data === "ask" && token) tabs.postMessage({ token });
});

export const current = () => token;

export function set(value) {
  token = value;
  sessionStorage.setItem(KEY, value);
}

export function forget() {
  token = null;
  sessionStorage.removeItem(KEY);
}

/** Takes the token from the address, where it does not stay. */
export function fromAddress() {
  const said = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!said) return false;
  set(said);
  history.replaceState(null, "", `${location.pathname}#/`);
  return true;
}

/** Finds the token: in the address, in this tab, or in another one. */
export async function find() {
  if (!fromAddress()) token = sessionStorage.getItem(KEY) ?? (await ask());
  if (token) sessionStorage.setItem(KEY, token);
}

function ask() {
  return new Promise((done) => {
    const answer = ({ data }) => data.token && done(data.token);
    tabs.addEventListener("message", answer);
    tabs.postMessage("ask");
    setTimeout(() => {
      tabs.removeEventListener("message", answer);
      done(null);
    }, 250);
  });
}
