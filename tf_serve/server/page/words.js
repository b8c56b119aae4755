// What the page says: decisions, reasons, numbers and places in the words of a reader.

export const DECISIONS = {
  refer: ["Refer for a bacteriological test", "The margin reached the threshold. This is a screening flag."],
  indeterminate: ["Indeterminate", "Too close to the threshold to call: this file's rounding could turn the answer."],
  not_flagged: ["Not flagged", "The margin stayed below the threshold. That rules nothing out."],
};
export const SHORT = { refer: "Refer", indeterminate: "Indeterminate", not_flagged: "Not flagged", rejected: "Rejected" };

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

export const counted = (share, n, word) => `${Math.round(share * n)} of ${n} ${word} validation films`;

export function placed({ side, zone }) {
  if (!side) return "nowhere in particular";
  return `${zone} zone, ${side === "both" ? "both sides" : `patient's ${side} side`}`;
}

export function bandWords(answer) {
  if (!answer.indeterminate_band) return answer.model.verdict === "CERTIFIED" ? "none: this file is exact" : "none is stated";
  return `± ${answer.indeterminate_band.toPrecision(2)} around the threshold margin`;
}

export function megabytes(bytes) {
  return bytes < 1e5 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
