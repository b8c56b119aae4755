// Answers given in this browser, for the page that `tbconv page` wrote: no server is asked, no film is sent anywhere.
// Nothing is answered before every file has the digest that the page holds, and the model has proven itself here.

const HOME = new URL("../", import.meta.url);
const SITE = document.querySelector("meta[name=tbconv-site]").content; // SHA-256 of site.json, as this very page holds it

let reason = null; // why nothing is answered any more: another version has taken over, or the model failed meanwhile
let proven = null; // begun by the first who asks for an answer: the page about the model needs none
let offline = Promise.resolve("this browser keeps no page for use without a network");
document.querySelector(".unserved")?.remove();

const checked = check();
checked.catch(() => {}); // each who asks gets the reason

export const paper = async (name) => (await checked)[name];

// The same, once the model has proven itself: what says who answers.
export async function provenPaper(name) {
  await ready();
  return paper(name);
}

export async function screen(film) {
  const model = await ready();
  return model.screen(film).catch(passOn);
}

// The film as it was read, before it is resized, as something to draw.
export async function picture(film) {
  const model = await ready();
  const { width, height, pixels } = await model.picture(film);
  const levels = Uint32Array.from({ length: 256 }, (_, grey) => 0xff000000 + 0x010101 * grey); // opaque; browsers run little-endian
  return new ImageData(new Uint8ClampedArray(Uint32Array.from(pixels, (grey) => levels[grey]).buffer), width, height);
}

// What this browser has shown, and what it keeps: names, and sentences as soon as they are known.
export function shown() {
  const proof = ready().then(({ proof: { films, seconds, runtime } }) => `${films} golden files, of no patient, opened and answered as recorded in ${seconds.toFixed(1)} s (${runtime})`);
  return [
    ["Proven in this browser", proof],
    ["Without a network", proof.then(() => offline)],
  ];
}

async function ready() {
  proven ??= checked.then(prove);
  const model = await proven;
  if (reason) throw reason;
  return model;
}

function passOn(error) {
  const said = refusal(error.what ?? error.message, error.why, error.fix);
  if (error.kind === "proof") throw (reason = said);
  throw Object.assign(said, { final: false }); // of this film alone
}

// --- proof ---

async function check() {
  if (!globalThis.crypto?.subtle) throw refusal("This page cannot prove itself here", "browsers compute digests on https:// and on 127.0.0.1 alone", "Open it under such an address.");
  const listing = await get("site.json");
  if ((await sha256(listing)) !== SITE) throw stale(["site.json"]);
  const { files, manifest } = parsed(listing);
  const [unlike, papers] = [[], {}];
  const look = async ([path, digest]) => {
    const data = await get(path);
    if ((await sha256(data)) !== digest) return unlike.push(path);
    const name = path.match(/^papers\/(\w+)\.json$/)?.[1];
    if (name) papers[name] = parsed(data);
  };
  await Promise.all(Object.entries(files).map(look));
  if (unlike.length) throw stale(unlike.sort());
  if (!same(papers.manifest, manifest)) throw refusal("site.json and the bundle's manifest disagree", "one of them was altered after the page was written", "Write it again: tbconv page BUNDLE --out SITE");
  return papers;
}

async function prove() {
  try {
    const { load } = await import("./engine/index.js");
    const model = await load(HOME.href);
    keepForLater();
    return model;
  } catch (error) {
    throw refusal(`The model could not prove itself in this browser: ${error.what ?? error.message}`, error.why, error.fix);
  }
}

async function get(path) {
  const answer = await fetch(new URL(path, HOME)).catch(() => null);
  if (answer?.ok) return answer.arrayBuffer();
  const why = answer ? `the address answers ${answer.status}` : "the address does not answer, and this browser has not kept it";
  throw refusal(`${path} cannot be read`, why, "Reload the page when the address has the whole folder.");
}

async function sha256(data) {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const parsed = (bytes) => JSON.parse(new TextDecoder().decode(bytes));

function same(one, other) {
  if (typeof one !== "object" || one === null || typeof other !== "object" || other === null) return Object.is(one, other);
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => Object.hasOwn(other, name) && same(one[name], other[name]));
}

// Why nothing is answered, in the three parts of every error.
function refusal(what, why, fix) {
  return Object.assign(new Error([why ? `${what} (${why}).` : `${what}.`, fix].filter(Boolean).join(" ")), { final: true });
}

// --- versions ---

function keepForLater() {
  const { serviceWorker } = navigator;
  if (!serviceWorker) return;
  const before = serviceWorker.controller;
  serviceWorker.addEventListener("controllerchange", () => {
    if (!before) return; // the first one: it keeps what this page is
    reason = refusal("Another version of this page has arrived", "so this one answers no more", "Download what you want to keep, then reload the page.");
    reason.renew = () => location.reload();
  });
  offline = serviceWorker
    .register(new URL("service-worker.js", HOME))
    .then(() => serviceWorker.ready)
    .then(() => "kept in this browser: the page opens and answers")
    .catch((error) => `not kept in this browser (${error.message})`);
}

// The files that are unlike what the page holds, by name; with what the button does about it.
function stale(paths) {
  const named = paths.length > 3 ? `${paths.slice(0, 3).join(", ")} and ${paths.length - 3} more` : paths.join(", ");
  const error = refusal(`Files of different versions, or altered ones: ${named}`, "nothing is answered by a mixture", "Reload the page.");
  error.renew = () => renew(paths);
  return error;
}

// Forget what this browser keeps of the page, and ask the address for all of it.
async function renew(paths) {
  await (await navigator.serviceWorker?.getRegistration(HOME.href))?.unregister();
  const names = globalThis.caches ? await caches.keys() : [];
  await Promise.all(names.filter((name) => name.startsWith(`tbconv ${HOME.pathname} `)).map((name) => caches.delete(name)));
  await Promise.all([location.href, ...paths].map((path) => fetch(new URL(path, HOME), { cache: "reload" }).catch(() => null)));
  location.reload();
}
