// Answers given in this browser, for the page that `tbconv page` wrote: no server is asked, no film is sent anywhere.
// Nothing is answered before every file has the digest that the page holds, and the model has proven itself here.

const HOME = new URL("../", import.meta.url);
const SITE = document.querySelector("meta[name=tbconv-site]").content; // SHA-256 of site.json, as this very page holds it
const UNLIKE = "What this browser has of the page are files of different versions, or altered ones";

let newer = false; // whether another version has taken over while this page was open
let last = Promise.resolve(); // the engine takes one film after the other
document.querySelector(".unserved")?.remove();

const checked = check();
const proven = checked.then(prove);
checked.catch(() => {}); // each who asks gets the reason
proven.then(keepForLater, () => {});

export const paper = async (name) => (await checked).papers[name];

// The same, once the model has proven itself: what says who answers.
export async function provenPaper(name) {
  const [{ papers }] = await Promise.all([checked, proven]);
  if (newer) throw outdated();
  return papers[name];
}

// What this browser has shown, and what it keeps: names and sentences, the latter as soon as they are known.
export function shown() {
  const proof = Promise.all([checked, proven]).then(([{ golden }, { seconds }]) => `${golden} files of no patient, each opened and answered as recorded, in ${seconds.toFixed(1)} s`);
  return [
    ["Proven in this browser", proof],
    ["Without a network", proven.then(() => offline)],
  ];
}

export async function screen(film) {
  const { model } = await proven;
  if (newer) throw outdated();
  return inTurn(() => model.screen(film));
}

export async function picture(film) {
  const { model } = await proven;
  const { width, height, pixels } = await inTurn(() => model.picture(film));
  const image = new ImageData(width, height);
  pixels.forEach((grey, at) => image.data.fill(grey, 4 * at, 4 * at + 3));
  for (let at = 3; at < image.data.length; at += 4) image.data[at] = 255;
  return image;
}

function inTurn(work) {
  const done = last.then(work).catch((error) => {
    throw refusal(error.what ?? error.message, error.why, error.fix);
  });
  last = done.catch(() => {});
  return done;
}

// --- proof ---

async function check() {
  if (!globalThis.crypto?.subtle) throw refusal("This page cannot prove itself here.", "A browser computes digests on https:// and on 127.0.0.1 alone.", "Open it under such an address.");
  const bytes = await get("site.json");
  if ((await sha256(bytes)) !== SITE) throw stale(["site.json"]);
  const { files, golden, manifest } = parsed(bytes);
  const unlike = [];
  const papers = {};
  const look = async ([path, digest]) => {
    const data = await get(path);
    if ((await sha256(data)) !== digest) return unlike.push(path);
    const name = path.match(/^papers\/(\w+)\.json$/)?.[1];
    if (name) papers[name] = parsed(data);
  };
  await Promise.all(Object.entries(files).map(look));
  if (unlike.length) throw stale(unlike.sort());
  if (!same(papers.manifest, manifest)) throw refusal("site.json says otherwise than the bundle's manifest.", "It was altered after it was written.", "Write the page again: tbconv page BUNDLE --out SITE.");
  return { papers, golden: golden.length };
}

async function prove() {
  const began = performance.now();
  try {
    const { load } = await import("./engine/index.js");
    const model = await load(HOME.href);
    return { model, seconds: (performance.now() - began) / 1000 };
  } catch (error) {
    throw refusal(`The model could not prove itself in this browser: ${error.what ?? error.message}`, error.why, error.fix);
  }
}

async function get(path) {
  const answer = await fetch(new URL(path, HOME)).catch(() => null);
  if (!answer?.ok) throw refusal(`${path} cannot be read.`, answer ? `The address answers ${answer.status}.` : "The address does not answer, and this browser has not kept it.", "Reload the page when the address answers.");
  return answer.arrayBuffer();
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

// --- versions ---

let offline = Promise.resolve("this browser keeps no page for use without a network");

function keepForLater() {
  if (!navigator.serviceWorker) return;
  const before = navigator.serviceWorker.controller;
  navigator.serviceWorker.addEventListener("controllerchange", () => {
    newer ||= Boolean(before);
  });
  offline = navigator.serviceWorker
    .register(new URL("service-worker.js", HOME))
    .then(() => navigator.serviceWorker.ready)
    .then(() => "kept in this browser for use without a network")
    .catch((error) => `not kept for use without a network (${error.message})`);
}

function outdated() {
  const error = refusal("Another version of this page has arrived, so this one answers no more.", "Reload the page; download the answers that you want to keep before.");
  error.renew = () => location.reload();
  return error;
}

// The files that are unlike what the page holds, by name; with what the button does about it.
function stale(paths) {
  const named = paths.length > 3 ? `${paths.slice(0, 3).join(", ")} and ${paths.length - 3} more` : paths.join(", ");
  const error = refusal(`${UNLIKE}: ${named}.`, "Nothing is answered by a mixture.", "Reload the page.");
  error.renew = () => renew(paths);
  return error;
}

async function renew(paths) {
  const registration = await navigator.serviceWorker?.getRegistration(HOME.href);
  await registration?.unregister();
  const names = globalThis.caches ? await caches.keys() : [];
  await Promise.all(names.filter((name) => name.startsWith(`tbconv ${HOME.pathname} `)).map((name) => caches.delete(name)));
  await Promise.all([location.href, ...paths].map((path) => fetch(new URL(path, HOME), { cache: "reload" }).catch(() => null)));
  location.reload();
}

function refusal(...parts) {
  return Object.assign(new Error(parts.filter(Boolean).join(" ")), { final: true, retry: false });
}
