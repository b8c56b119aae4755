// The page of films: what comes in goes to the queue, what is selected goes to the viewer, the answer and the report.

import { askForToken } from "./access.js";
import { explain, explainNothing } from "./answer.js";
import { aboutModel } from "./api.js";
import { at, show } from "./dom.js";
import { packed, save } from "./download.js";
import { Models } from "./models.js";
import { Prevalence } from "./prevalence.js";
import { Queue } from "./queue.js";
import { layOut } from "./report.js";
import { Rows, summarise } from "./rows.js";
import { Viewer } from "./viewer.js";

let selected = null;
const prevalence = new Prevalence();
const models = new Models(
  () => {
    viewer.nameClasses(models.current.labels);
    at("to-model").href = at("more").href = aboutModel(models.which);
    if (!selected) explainNothing();
  },
  () => selected || show("status", "Nothing is answered: the reason stands above."),
);
const rows = new Rows(select);
const viewer = new Viewer((film, bitmap) => rows.thumb(film, bitmap));
const queue = new Queue((film) => {
  if (film.answer) film.at ??= new Date().toISOString();
  rows.update(film);
  account();
  if (film === selected) refresh(film);
  if (film.error?.final) models.refresh(); // which says why nothing is answered any more
});

function take(files) {
  if (!files.length) return;
  const [first] = queue.add(files, models.which, models.current?.accepts?.bytes);
  select(first);
}

function select(film) {
  selected = film;
  rows.mark(film);
  refresh(film);
}

// Show a film anew; a later choice wins over one whose picture or model is still under way.
async function refresh(film) {
  const model = film.answer ? await models.of(film.answer, film.which) : models.current;
  if (film !== selected) return;
  if (model) viewer.nameClasses(model.labels);
  explain(film, model, prevalence, models.current);
  await viewer.show(film);
  if (film === selected) await lay([film]);
}

function account() {
  const { films, open } = queue;
  at("main").className = films.length > 1 ? "many" : films.length ? "one" : "none";
  at("films").hidden = films.length < 2;
  at("progress").hidden = open === 0;
  at("progress").max = Math.max(1, films.length);
  at("progress").value = films.length - open;
  at("print-all").hidden = !films.some(({ state }) => state === "ok");
  summarise(films);
}

const lay = (films) =>
  layOut(films.filter(({ state }) => state === "ok"), {
    modelOf: (film) => models.of(film.answer, film.which),
    pictureOf: (film) => viewer.picture(film),
    evidence: viewer.evidence,
    share: prevalence.share,
  });

async function print(films) {
  await lay(films);
  window.print();
}

function clear() {
  queue.clear();
  rows.clear();
  viewer.clear();
  selected = null;
  explainNothing();
  account();
  lay([]);
}

function move(step) {
  const film = queue.films[queue.films.indexOf(selected) + step];
  if (film) select(film);
}

const KEYS = {
  o: () => at("file").click(),
  j: () => move(1),
  k: () => move(-1),
  ...viewer.keys,
  p: () => selected?.state === "ok" && print([selected]),
};

document.addEventListener("keydown", (event) => {
  const writing = event.target.closest?.("input[type=password], select, textarea");
  if (writing || event.ctrlKey || event.metaKey || event.altKey) return;
  KEYS[event.key]?.();
});
at("file").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = ""; // the same film may be chosen again
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("over", kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files);
  });
}
at("again").addEventListener("click", () => queue.again(selected));
at("print").addEventListener("click", () => print([selected]));
at("print-all").addEventListener("click", () => print(queue.films));
at("download").addEventListener("click", () => save(`screening-${selected.answer.result_id.slice(0, 8)}.json`, packed(selected)));
at("download-all").addEventListener("click", () => save("screening.json", queue.films.map(packed)));
at("clear").addEventListener("click", clear);
at("prevalence").addEventListener("change", () => selected && lay([selected]));
at("controls").addEventListener("change", () => selected && lay([selected]));
addEventListener("afterprint", () => selected && lay([selected]));
askForToken(
  () => {
    models.refresh();
    if (selected?.error?.retry) queue.again(selected);
  },
  () => show("status", "This server asks for an access token."),
);
models.refresh();
