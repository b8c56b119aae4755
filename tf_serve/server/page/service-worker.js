// Keeps the whole page for use without a network: one version at a time, whole or not at all, each file by its digest.
// `tbconv page` writes SITE, the SHA-256 of site.json, and KEPT, the files, before these lines.

const HOME = new URL("./", self.location);
const CACHE = `tbconv ${HOME.pathname} ${SITE}`; // an origin may hold several pages
const WAIT_MS = 4000; // for the address to say which version it serves; then the kept one is taken to be it

self.addEventListener("install", (event) => event.waitUntil(keep().then(() => self.skipWaiting())));
self.addEventListener("activate", (event) => event.waitUntil(forgetOthers().then(() => self.clients.claim())));
self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || !url.href.startsWith(HOME.href)) return;
  const path = url.pathname.slice(HOME.pathname.length) || "index.html";
  if (path === "site.json") event.respondWith(newest(path));
  else if (KEPT.includes(path)) event.respondWith(kept(path));
});

async function keep() {
  const cache = await caches.open(CACHE);
  const listing = await fetched("site.json", SITE);
  const { files } = await listing.clone().json();
  await cache.put(at("site.json"), listing);
  for (const path of KEPT.filter((one) => one !== "site.json")) await cache.put(at(path), await fetched(path, files[path]));
}

// A file with its digest: what the browser keeps of its own accord may be older, so it is asked for once more.
async function fetched(path, digest) {
  for (const cache of ["default", "reload"]) {
    const answer = await fetch(at(path), { cache });
    if (!answer.ok) continue;
    const bytes = await answer.arrayBuffer();
    const right = digest ? (await sha256(bytes)) === digest : new TextDecoder().decode(bytes).includes(SITE); // a page
    const headers = { "content-type": answer.headers.get("content-type") ?? "application/octet-stream" };
    if (right) return new Response(bytes, { headers }); // made anew: one that was redirected cannot answer for a page
  }
  throw new Error(`${path} is not the file of this version`);
}

async function sha256(data) {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function forgetOthers() {
  const ours = (await caches.keys()).filter((name) => name.startsWith(`tbconv ${HOME.pathname} `));
  await Promise.all(ours.filter((name) => name !== CACHE).map((name) => caches.delete(name)));
}

// Which version the address serves now, so that the page sees that what is kept here has become old.
async function newest(path) {
  const answer = await fetch(at(path), { cache: "no-store", signal: AbortSignal.timeout(WAIT_MS) }).catch(() => null);
  const listing = answer?.ok ? await answer.clone().json().catch(() => null) : null; // a hotel's login page is none
  return listing?.files ? answer : kept(path);
}

async function kept(path) {
  const found = await (await caches.open(CACHE)).match(at(path));
  return found ?? fetch(at(path));
}

function at(path) {
  return new URL(path, HOME).href;
}
