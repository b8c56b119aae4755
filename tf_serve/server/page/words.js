// What the page says: decisions, reasons, numbers and places in the words of a reader.

// The decision itself is worded by the bundle and comes with the answer; what it rests on is the same for all.
const NOTES = {
  refer: "The score reached the cut-off. This is a screening flag.",
  indeterminate: "This file's rounding could turn the answer.",
  not_flagged: "The score stayed below the cut-off. That rules nothing out.",
};
export const SHORT = { refer: "Flagged", indeterminate: "Indeterminate", not_flagged: "Not flagged", rejected: "Rejected" };

const sentence = (words) => words[0].toUpperCase() + words.slice(1);

// Title and note: what a flag calls for is all title, of any other decision the reason stands in the note.
export function decisionOf({ decision, decision_words: words }) {
  const [title, ...reasons] = decision === "refer" ? [words] : words.split(": ");
  return [sentence(title), [...reasons.map((reason) => `${sentence(reason)}.`), NOTES[decision]].join(" ")];
}

// Why an answer is not coloured as one about a person would be; empty where it is one.
export function mutedBecause({ kind, synthetic }) {
  if (synthetic) return "Trained on drawn films: not an answer about a person";
  return kind === "baseline" ? "Answer of the baseline, not of the trained network" : "";
}

// Whether what converted the file changed nothing that matters; which verdict that is stands on the model's page.
export const conversionOf = ({ verdict }) => (["CERTIFIED", "BOUNDED"].includes(verdict) ? "conversion verified" : "conversion not verified");

// What to do where the file itself says that it is no frontal film; the gate's own sentences say so already.
const ADVICE = {
  other_modality: "Send the plain radiograph of the chest.",
  other_body_part: "Send the film of the chest.",
  lateral_view: "Send the frontal film (PA or AP) of the same study.",
  other_view: "Send the frontal film (PA or AP) of the same study.",
  multi_frame: "Send the frontal film alone, one picture a file.",
  not_for_viewing: "Send the processed film (FOR PRESENTATION) of the same study.",
  no_picture: "Choose the file of the film itself; a report or a folder's index has none.",
};
export const UNREADABLE = "Send a frontal chest film (PA or AP), upright, uncropped, lungs dark, as PNG, JPEG or DICOM.";

export const adviceOn = (reason) => ADVICE[reason] ?? "";

export const readable = (code) => (code ?? "").replaceAll("_", " ");

// "PNEUMONIA" is a folder's name; people write "Pneumonia", and leave "TB" as it is.
export function labelled(label) {
  const shouting = label.length > 3 && label === label.toUpperCase();
  return shouting ? label[0] + label.slice(1).toLowerCase() : label;
}

// The space before the sign does not break.
export function percent(share) {
  if (share === 0 || share === 1) return `${100 * share}\u00a0%`; // counted, as a sigmoid never is
  if (share > 0.9999) return "over 99.99\u00a0%";
  if (share < 0.0001) return "under 0.01\u00a0%";
  return `${(100 * share).toFixed(share < 0.01 || share > 0.99 ? 2 : 1)}\u00a0%`;
}

// The score and the cut-off, with as many decimals as the server needs to tell them apart.
export function scoresOf(answer) {
  const { score, threshold_score: cut } = answer;
  const decimals = Math.max(1, ...[score, cut].map((number) => String(number).split(".")[1]?.length ?? 0));
  return { score: score.toFixed(decimals), cut: cut.toFixed(decimals), decimals };
}

// "of 100, below the cut-off of 99.4"
export function besideCut(answer) {
  const { cut } = scoresOf(answer);
  const where = { refer: "at or above", indeterminate: "too near to", not_flagged: "below" }[answer.decision];
  return `of 100, ${where} the cut-off of ${cut}`;
}

export const signed = (number) => `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(3)}`;

export const thousands = (number) => number.toLocaleString("en");

// As many decimals as n films support: one film of 607 is 0.0016.
export function supported(value, n) {
  return value.toFixed(n > 1 ? Math.max(1, Math.ceil(Math.log10(n))) : 1);
}

export function interval({ value, low, high, n }) {
  if (value === null || value === undefined) return "no film to count";
  return `${supported(value, n)} (${supported(low, n)} to ${supported(high, n)}, n ${thousands(n)})`;
}

export const counted = (share, n, word) => `${Math.round(share * n)} of ${n} ${word} films that the threshold was chosen on`;

export function placed({ side, zone }) {
  if (!side) return "nowhere in particular";
  return `${zone} zone, ${side === "both" ? "both sides" : `patient's ${side} side`}`;
}

// The scores at which nothing is decided.
export function bandWords(answer) {
  const { indeterminate_band: half, threshold, calibration } = answer;
  if (!half) return "none";
  const { decimals } = scoresOf(answer);
  const at = (margin) => (100 / (1 + Math.exp(-(calibration.slope * margin + calibration.offset)))).toFixed(decimals);
  return `${at(threshold - half)} to ${at(threshold + half)}`;
}

export function megabytes(bytes) {
  return bytes < 1e5 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
