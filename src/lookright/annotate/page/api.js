// Everything the page asks of the server: the one place that knows addresses, tokens and how refusals look.

/** What the server would not do. `status` is 0 where no answer came at all. */
export class Refusal extends Error {
  constructor(status, message, version = null) {
    super(message);
    this.status = status;
    this.version = version;
  }

  /** Whether trying again later may help. */
  get passing() {
    return this.status === 0 || this.status >= 500;
  }
}

const told = (page, name) => page.querySelector(`meta[name="${name}"]`)?.content ?? "";
const project = told(document, "project"); // what the indices of this page are of
let token = told(document, "token");

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Refusal(0, "the server does not answer; is lookright annotate still running?");
  }
  if (answer.ok) return answer;
  const { error, version } = await answer.json().catch(() => ({}));
  throw new Refusal(answer.status, error ?? `the server answered ${answer.status}`, version ?? null);
}

const json = async (path) => (await ask(path)).json();
const blob = async (path) => (await ask(path)).blob();

const write = (path, version, type, body) =>
  change(path, "PUT", { "If-Match": `"${version}"`, "Content-Type": type }, body);

const OTHER_PROJECT = "other photos, or another annotator's marks, are served here now, so nothing of this tab is saved; "
  + "load the page again, or start the server as it was before and try again";

async function change(path, method, headers = {}, body = undefined) {
  const send = () => ask(path, { method, headers: { ...headers, "X-Token": token }, body });
  try {
    return await (await send()).json();
  } catch (error) {
    if (error.status !== 403) throw error;
    // A server that was started anew has another token: take it from its page, and nothing has to be drawn again.
    const page = new DOMParser().parseFromString(await (await ask("/")).text(), "text/html");
    const fresh = told(page, "token");
    if (!fresh || fresh === token) throw error;
    if (told(page, "project") !== project) throw new Refusal(403, OTHER_PROJECT);
    token = fresh;
    return (await send()).json();
  }
}

export const session = () => json("/api/session");

/** A page of the list: {total, images}. Empty filters count for nothing. */
export function images(offset, limit, filters) {
  const given = Object.entries(filters).filter(([, value]) => value);
  return json(`/api/images?${new URLSearchParams([["offset", offset], ["limit", limit], ...given])}`);
}

export const image = (index) => json(`/api/images/${index}`);
export const photo = (index) => blob(`/api/images/${index}/photo`);
export const thumbnail = (index) => `/api/images/${index}/thumbnail`;
/** The map of the model that is there from the start, or of the `new` one that a correction has trained. */
export const map = (index, which = "old") => blob(`/api/images/${index}/map?of=${which}`);
export const region = (index, share) => blob(`/api/images/${index}/region?share=${share}`);
export const superpixels = (index, level) => blob(`/api/images/${index}/superpixels?level=${level}`);

/** The marks of an image as {blob, version}. */
export async function marks(index) {
  const answer = await ask(`/api/images/${index}/marks`);
  const version = Number(/\d+/.exec(answer.headers.get("ETag") ?? "0")[0]);
  return { blob: await answer.blob(), version };
}

/** Write marks made from `version`: {version, status}. */
export const putMarks = (index, version, png) =>
  write(`/api/images/${index}/marks`, version, "image/png", png);

/** Write a status (nothing, skipped or open) made from `version`: {version, status}. */
export const putStatus = (index, version, status) =>
  write(`/api/images/${index}/status`, version, "application/json", JSON.stringify({ status }));

/** The open image that teaches most, of those that are not left out: its index, or null. */
export async function next(leftOut = []) {
  // A list of thousands is too long for an address.
  return (await change("/api/next", "POST", { "Content-Type": "application/json" }, JSON.stringify(leftOut))).index;
}

/** How well this annotator agrees with the others: {pending, others}. `refresh` looks at what has changed. */
export const agreement = (refresh) => json(`/api/agreement${refresh ? "?refresh=1" : ""}`);

/** How far accepting all marks to start with is; and what starts and stops it. */
export const accepted = () => json("/api/accept");
export const startAccepting = () => change("/api/accept", "POST");
export const stopAccepting = () => change("/api/accept", "DELETE");

/** How far the correction is; and what starts and ends one. */
export const correction = () => json("/api/correct");
export const startCorrection = () => change("/api/correct", "POST");
export const cancelCorrection = () => change("/api/correct", "DELETE");
