// The page about the API: /openapi.json put in order for people; nothing on it is written twice.

import { askForToken } from "./access.js";
import { askDescription, hasToken, ROOT } from "./api.js";
import { at, make, show } from "./dom.js";
import { save } from "./download.js";

const LATER_MS = 1500;
const REST = "For the pages"; // addresses without a tag
const FIRST = "/api/v1/screen";
let facts = null;

async function load() {
  try {
    facts = await askDescription();
    at("banners").replaceChildren();
    draw();
  } catch (error) {
    at("banners").replaceChildren(make("p", { class: "banner" }, `Not ready: ${error.message}`));
    if (error.status !== 401) setTimeout(load, LATER_MS);
  }
}

function draw() {
  const { info, paths, components } = facts;
  show("version-line", `${info.title} ${info.version}`);
  show("what", info.description);
  show("first", curl("post", FIRST, paths[FIRST].post));
  const groups = grouped(paths);
  at("contents").replaceChildren(...[...groups.keys(), "Messages"].map((tag) => make("a", { href: `#${slug(tag)}` }, tag)));
  at("groups").replaceChildren(...[...groups].map(([tag, operations]) => group(tag, operations)));
  at("messages").replaceChildren(...Object.entries(components.schemas).filter(([, schema]) => Object.keys(schema.properties ?? {}).length).map(message));
  at("main").dataset.ready = "";
  openNamed();
}

function grouped(paths) {
  const groups = new Map();
  for (const [path, methods] of Object.entries(paths))
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags?.[0] ?? REST;
      groups.set(tag, [...(groups.get(tag) ?? []), { method, path, operation }]);
    }
  return groups;
}

function group(tag, operations) {
  return make("section", { class: "card", id: slug(tag), "aria-label": tag }, make("h2", {}, tag), ...operations.map(fold));
}

function fold({ method, path, operation }) {
  return make(
    "details",
    { id: slug(`${method} ${path}`) },
    make("summary", {}, make("span", { class: `method ${method}` }, method.toUpperCase()), make("code", {}, path), make("span", { class: "quiet" }, operation.summary)),
    ...parametersOf(operation),
    ...requestOf(operation),
    make("h3", {}, "From a shell"),
    text(curl(method, path, operation), "From a shell"),
    ...answersOf(operation),
  );
}

function parametersOf({ parameters = [] }) {
  if (!parameters.length) return [];
  const rows = parameters.map(({ name, in: place, required, description }) => [make("code", {}, name), `${place}${required ? "" : ", optional"}`, description ?? ""]);
  return [make("h3", {}, "Parameters"), table(["name", "where", "what"], rows)];
}

function requestOf({ requestBody }) {
  if (!requestBody) return [];
  const kinds = Object.entries(requestBody.content);
  const [named] = kinds.map(([, media]) => nameOf(media.schema)).filter(Boolean);
  return [
    make("h3", {}, "Body"),
    make("p", {}, `${kinds.map(([kind]) => kind).join(", ")}${requestBody.required ? "" : "; may be empty"}`, ...(named ? [": ", linkTo(named)] : [])),
    ...kinds.flatMap(([, media]) => examplesOf(media)),
  ];
}

function answersOf({ responses }) {
  const rows = Object.entries(responses).map(([status, { description, content = {} }]) => {
    const named = Object.values(content).map((media) => nameOf(media.schema)).find(Boolean);
    const example = status === "200" ? null : Object.values(content["application/json"]?.examples ?? {})[0]?.value.error;
    return [status, make("span", {}, description, ...(named && status === "200" ? [" ", linkTo(named)] : [])), example ? make("code", {}, example) : ""];
  });
  const good = Object.values(responses["200"]?.content ?? {}).flatMap(examplesOf);
  return [make("h3", {}, "Answers"), table(["status", "what", "error, for example"], rows), ...good];
}

function examplesOf({ examples = {} }) {
  return Object.values(examples).flatMap(({ summary, value }) => [make("p", { class: "quiet" }, summary), text(JSON.stringify(value, null, 1), summary)]);
}

function message([name, schema]) {
  const required = new Set(schema.required);
  const rows = Object.entries(schema.properties).map(([field, kind]) => [
    make("code", {}, field), make("span", {}, ...typeOf(kind), required.has(field) ? "" : ", optional"), kind.description ?? ""]);
  return make(
    "details",
    { id: slug(name) },
    make("summary", {}, make("code", {}, name), make("span", { class: "quiet" }, (schema.description ?? "").split("\n")[0])),
    table(["field", "type", "what"], rows),
  );
}

// A schema's type as text, with links where it is a message.
function typeOf(kind) {
  const named = nameOf(kind);
  if (kind.anyOf) return kind.anyOf.flatMap((one, index) => (index ? [" or ", ...typeOf(one)] : typeOf(one)));
  if (kind.enum) return [kind.enum.map((value) => JSON.stringify(value)).join(", ")];
  if ("const" in kind) return [JSON.stringify(kind.const)];
  if (kind.type === "array") return ["array of ", ...typeOf(kind.items ?? {})];
  return [named ? linkTo(named) : (kind.type ?? "anything")];
}

const nameOf = (schema = {}) => (schema.$ref ?? schema.items?.$ref ?? "").split("/").at(-1);
const linkTo = (name) => make("a", { href: `#${slug(name)}` }, name);
const slug = (words) => words.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-|-$/g, "");
const text = (words, label) => make("pre", { tabindex: "0", "aria-label": label }, words);

function table(heads, rows) {
  const body = rows.map((cells) => make("tr", {}, ...cells.map((cell, index) => make(index ? "td" : "th", index ? { "data-name": heads[index] } : { scope: "row" }, cell))));
  return make("div", { class: "scroll" }, make("table", { class: "stack" }, make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))), make("tbody", {}, ...body)));
}

function curl(method, path, { requestBody }) {
  const address = new URL(path.slice(1), ROOT).href.replaceAll("%7B", "{").replaceAll("%7D", "}");
  const kinds = Object.keys(requestBody?.content ?? {});
  const token = hasToken() || path.startsWith("/v2/repository") ? ' -H "authorization: Bearer $TOKEN"' : "";
  const examples = requestBody?.content["application/json"]?.examples;
  const body = kinds.includes("multipart/form-data")
    ? " -F file=@film.png"
    : kinds.includes("image/png")
      ? " --data-binary @film.png -o film-as-seen.png"
      : examples
        ? ` -d '${JSON.stringify(Object.values(examples)[0].value)}'`
        : method === "post" ? " -X POST" : "";
  return `curl${token}${body} '${address}'`;
}

// A link to an address or a message opens its fold.
function openNamed() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named?.tagName === "DETAILS") named.open = true;
  named?.scrollIntoView();
}

addEventListener("hashchange", openNamed);
at("download").addEventListener("click", () => facts && save("openapi.json", facts));
at("open-all").addEventListener("click", () => {
  for (const one of document.querySelectorAll("main details")) one.open = true;
});
askForToken(load);
load();
