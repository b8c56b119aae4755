// The page: one film at a time is sent, answered and drawn here; the server keeps nothing.

const DECISIONS = {
  refer: ["Refer for a bacteriological test", "The margin reached the threshold. This is a screening flag."],
  indeterminate: ["Indeterminate", "Too close to the threshold to call: this file's rounding could turn the answer."],
  not_flagged: ["Not flagged", "The margin stayed below the threshold. That rules nothing out."],
};
const FOR = [230, 97, 1]; // the colours of tf_serve/overlay.py: told apart with any usual colour blindness
const AGAINST = [33, 102, 172];
const FAINTEST_SCALE = 1; // logits; a map that is weak everywhere is not blown up to full colour
const LONG_SIDE = 1120; // pixels of the canvas
const MAP_SIDE = 280; // pixels that the 7 x 7 map is stretched to before the canvas smooths it

const at = (id) => document.getElementById(id);
const shown = { film: null, evidence: null, turn: 0 };

function show(id, text) {
  at(id).textContent = text;
}

function banner(text, kind = "") {
  const line = document.createElement("p");
  line.className = `banner ${kind}`;
  line.textContent = text;
  at("banners").append(line);
}

function definition(name, value) {
  const row = document.createElement("div");
  const [term, text] = [document.createElement("dt"), document.createElement("dd")];
  term.textContent = name;
  text.textContent = value;
  row.append(term, text);
  return row;
}

function describeModel(model, limits) {
  at("banners").replaceChildren();
  if (model.kind === "baseline") banner(`The baseline answers, not a trained network. Reason: ${model.fallback_reason}.`);
  if (model.synthetic) banner("Trained on synthetic phantoms: its answers say nothing about a person.", "synthetic");
  show("model-line", `${model.name} · ${model.kind} · ${model.verdict} · ${model.version}`);
  at("limits").replaceChildren(...limits.map((limit) => {
    const item = document.createElement("li");
    item.textContent = limit;
    return item;
  }));
}

function describeCertificate(model) {
  const point = model.operating_point;
  show("positive-name", model.labels.positive);
  at("facts").replaceChildren(
    definition("Network", `${model.kind}, ${model.artefact}`),
    definition("Verdict", model.verdict),
    definition("Sensitivity", counted(point.sensitivity, point.positives, "positive")),
    definition("Specificity", counted(point.specificity, point.negatives, "negative")),
  );
}

const counted = (share, n, word) => `${Math.round(share * n)} of ${n} ${word} validation films`;
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const signed = (number) => `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(3)}`;

async function askModel() {
  const answer = await fetch("/api/v1/model").catch(() => null);
  const body = answer ? await answer.json() : { error: "the server does not answer" };
  if (answer?.ok) {
    describeModel(body, body.limits);
    describeCertificate(body);
    return;
  }
  at("banners").replaceChildren();
  banner(`Not ready: ${body.error}`);
  setTimeout(askModel, 1500);
}

async function answerFilm(file) {
  const turn = ++shown.turn; // a later film wins over an earlier one that is still under way
  Object.assign(shown, { film: null, evidence: null });
  for (const id of ["result", "error", "raw"]) at(id).hidden = true;
  at("status").hidden = false;
  show("status", "Reading the film …");
  const [film, body] = await Promise.all([createImageBitmap(file).catch(() => null), send(file)]);
  if (turn !== shown.turn) return;
  shown.film = film;
  if (body.error) fail(body.error);
  else explain(body);
  draw();
}

async function send(file) {
  const form = new FormData();
  form.append("file", file, "film"); // the name of the file stays here
  try {
    return await (await fetch("/api/v1/screen", { method: "POST", body: form })).json();
  } catch {
    return { error: "the server does not answer" };
  }
}

function fail(text) {
  at("status").hidden = true;
  at("error").hidden = false;
  show("error", text);
}

function explain(body) {
  describeModel(body.model, body.limits);
  const rejected = body.status === "rejected";
  const [title, note] = rejected ? ["Not answered", body.explanation] : DECISIONS[body.decision];
  show("decision", title);
  show("decision-note", note);
  at("decision").className = `decision ${body.decision ?? ""}`;
  at("figures").hidden = rejected;
  if (!rejected) explainFigures(body);
  show("json", JSON.stringify(body, null, 2));
  at("status").hidden = true;
  at("result").hidden = at("raw").hidden = false;
}

function explainFigures(body) {
  const cut = body.calibration.threshold_probability;
  const { side, zone, map } = body.evidence;
  const sideInWords = side === "both" ? "both sides" : `patient's ${side} side`;
  shown.evidence = map;
  at("scale").style.setProperty("--at", body.probability);
  at("scale").style.setProperty("--cut", cut);
  at("scale").setAttribute("aria-label", `Probability ${body.probability.toFixed(2)}, threshold ${cut.toFixed(2)}`);
  show("probability", body.probability.toFixed(3));
  show("threshold", cut.toFixed(3));
  show("tick-name", `threshold ${cut.toFixed(2)}`);
  show("margin", `${signed(body.margin)} (threshold ${signed(body.threshold)})`);
  show("place", side ? `${zone} zone, ${sideInWords}` : "nowhere in particular");
  const { positives, negatives } = body.calibration;
  show("prior", percent(positives / Math.max(1, positives + negatives)));
}

function draw() {
  const { film, evidence } = shown;
  at("film").hidden = !film;
  at("invitation").hidden = Boolean(film);
  at("controls").hidden = !film;
  for (const part of document.querySelectorAll(".mark, .of-map")) part.hidden = !evidence;
  if (!film) return;
  const factor = LONG_SIDE / Math.max(film.width, film.height);
  const canvas = at("film");
  canvas.width = Math.max(1, Math.round(film.width * factor));
  canvas.height = Math.max(1, Math.round(film.height * factor));
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.fillRect(0, 0, canvas.width, canvas.height); // black under a film with transparency, as the server sees it
  pen.drawImage(film, 0, 0, canvas.width, canvas.height);
  canvas.setAttribute("aria-label", evidence ? `The film with its evidence map: ${at("place").textContent}` : "The film");
  if (evidence) pen.drawImage(stretch(evidence, film), 0, 0, canvas.width, canvas.height);
}

// Bilinear, over the film alone: the map covers the film padded to a square.
function stretch(map, film) {
  const side = Math.max(film.width, film.height);
  const [width, height] = [film.width, film.height].map((length) => Math.max(1, Math.round((MAP_SIDE * length) / side)));
  const picture = new ImageData(width, height);
  const scale = Math.max(FAINTEST_SCALE, ...map.flat().map(Math.abs));
  const opacity = at("opacity").value / 100;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const value = sample(map, ((x + 0.5 - width / 2) / MAP_SIDE + 0.5) * 7, ((y + 0.5 - height / 2) / MAP_SIDE + 0.5) * 7);
      const colour = [...(value > 0 ? FOR : AGAINST), (255 * opacity * Math.abs(value)) / scale];
      picture.data.set(colour, 4 * (y * width + x));
    }
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

function sample(map, x, y) {
  const last = map.length - 1;
  const [column, row] = [x, y].map((place) => Math.min(last, Math.max(0, place - 0.5)));
  const [left, top] = [Math.floor(column), Math.floor(row)];
  const [right, bottom] = [Math.min(last, left + 1), Math.min(last, top + 1)];
  const [u, v] = [column - left, row - top];
  const upper = map[top][left] * (1 - u) + map[top][right] * u;
  const lower = map[bottom][left] * (1 - u) + map[bottom][right] * u;
  return upper * (1 - v) + lower * v;
}

at("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) answerFilm(file);
  event.target.value = ""; // the same film may be chosen again
});
at("opacity").addEventListener("input", draw);
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) answerFilm(event.dataTransfer.files[0]);
  });
}
askModel();
