// All questions, to the server or, where `tbconv page` wrote the page, to the model in this browser: the same answers.
// Requests to the server: this origin alone, 503 waited out, every failure one sentence.

// Where the server's addresses begin: "/", or a prefix behind which a proxy has put it.
export const ROOT = new URL("../", import.meta.url);
const here = document.querySelector("meta[name=tbconv-site]") ? await import("./local.js") : null;
const TRIES = 20; // after which a busy server is an error in the film's row
const LONGEST_WAIT_S = 15;

const access = { token: "", locked: () => {} };

export function onLocked(callback) {
  access.locked = callback;
}

export function unlock(token) {
  access.token = token; // in memory alone: it goes with the page
}

export const hasToken = () => access.token !== "";

// Thrown for everything that is no answer; `retry` says whether the same film may be sent again.
export class Refused extends Error {
  constructor(message, { status = 0, retry = false } = {}) {
    super(message);
    this.status = status;
    this.retry = retry;
  }
}

export const askModel = (which) => here?.provenPaper("model") ?? askJson(`api/v1/model${query(which)}`);
export const askCertificate = (which) => here?.paper("certificate") ?? askJson(`api/v1/certificate${query(which)}`);
export const askModels = () => here?.paper("models") ?? askJson("api/v1/models");
export const askDescription = () => askJson("openapi.json");

// What a browser that answers itself has shown of itself: names and promises of sentences; nothing of a server.
export const shownHere = () => here?.shown() ?? [];

// Where the page about a model is.
export const aboutModel = (which, part = "") => new URL(here ? `model.html${part}` : `model${query(which)}${part}`, ROOT).href;

export async function screen(film, which, onWait) {
  if (here) return here.screen(film);
  return (await post(`api/v1/screen${query(which)}`, film, onWait)).json();
}

// The film as the server opened it, as something to draw: what a browser cannot draw itself.
export async function picture(film) {
  if (here) return here.picture(film);
  return (await post("api/v1/picture", film, () => {})).blob();
}

export function query(which = {}) {
  const named = Object.entries(which).filter(([, value]) => value);
  return named.length ? `?${new URLSearchParams(named)}` : "";
}

async function askJson(path) {
  return (await send(path, { method: "GET" })).json();
}

async function post(path, film, onWait) {
  for (let left = TRIES; ; left--) {
    const form = new FormData(); // made anew for each try, since a body is read once
    form.append("file", film, "film"); // the name of the file stays here
    try {
      return await send(path, { method: "POST", body: form });
    } catch (error) {
      if (error.status !== 503 || left <= 1) throw error;
      await waitFor(error.seconds, onWait);
    }
  }
}

async function waitFor(seconds, onWait) {
  for (let left = seconds; left > 0; left--) {
    onWait(left);
    await new Promise((done) => setTimeout(done, 1000 * Math.min(1, left)));
  }
}

async function send(path, options) {
  const headers = access.token ? { authorization: `Bearer ${access.token}` } : {};
  const answer = await fetch(new URL(path, ROOT), { ...options, headers }).catch(() => null);
  if (!answer) throw new Refused("The server does not answer.", { retry: true });
  if (answer.ok) return answer;
  if (answer.status === 401) access.locked();
  const said = await answer.json().catch(() => ({}));
  const refused = new Refused(said.error ?? `The server answered ${answer.status}.`, {
    status: answer.status,
    retry: answer.status >= 500 || answer.status === 401 || answer.status === 408,
  });
  refused.seconds = Math.min(LONGEST_WAIT_S, Number(answer.headers.get("retry-after")) || 1);
  throw refused;
}
