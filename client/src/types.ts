// The folder that `tbconv page` writes, and the answers: as tf_serve/score/browser.py and POST /api/v1/screen word them.

import type { Grey } from "./film/resize.js";

/** site.json: what the folder holds. Every path is relative to it. */
export interface Site {
  schema: 1;
  model: { file: string; sha256: string; artefact: string };
  manifest: Manifest;
  manifest_sha256: string; // of papers/manifest.json, the bundle's own bytes
  answer: AnswerRules;
  golden: Golden[];
  gate: GateRules;
  reference: string | null; // where the numbers of the training films lie
  files: Record<string, string>; // SHA-256 by path
}

export interface Manifest {
  name: string;
  labels: { negative: string; positive: string };
  preprocessing: { size: number; colour: string; pad: string; resample: string; values: string };
  decision_rules: Record<string, { calibration: { slope: number; offset: number }; operating_point: { margin: number } }>;
  files: Record<string, { sha256: string }>;
  [more: string]: unknown;
}

/** What holds for every answer. */
export interface AnswerRules {
  network: string;
  model: Record<string, unknown>;
  calibration: Calibration;
  threshold: number;
  threshold_score: number;
  score_digits: number;
  indeterminate_band: number;
  decision_words: Record<Decision, string>;
  limits: string[];
  margins: [number, number]; // that can be answers, in logits
}

export interface Calibration {
  slope: number;
  offset: number;
  positives: number;
  negatives: number;
  threshold_probability: number;
  threshold_score: number;
}

/** A drawn film, of no patient, and what it has to become; null where the writer's machine did not vouch for it. */
export interface Golden {
  name: string;
  film: string;
  sha256: string;
  model_input_sha256: string;
  gate: string | null;
  logits: number[] | null;
  probability: number | null;
  evidence: number[][] | null;
  answer: Answer | null; // without result_id
}

export interface FilmRules {
  max_pixels: number;
  max_decoded: number;
  child_years: number;
  limits: Record<"child" | "burned_in" | "turned" | "window" | "window_off" | "no_window" | "depth" | "tint" | "hidden", string>;
  dicom: {
    radiographs: string[];
    lateral: string[];
    other_views: string[];
    other_parts: string[];
    lateral_words: string; // regular expressions
    other_words: string;
    raw_intent: string;
  } | null;
}

/** An array as its dtype, shape and bytes, little-endian in C order. */
export interface Packed {
  dtype: "float32" | "float64";
  shape: number[];
  base64: string;
}

/** What stands before the network, as site.json says it. */
export interface GateRules {
  level: "strict" | "basic" | "off";
  rules: { min_side: number; max_aspect: number; min_contrast: number; max_chroma: number; sure: number };
  likeness: string; // a path
  reasons: Record<string, string>; // explanations by code
  film: FilmRules;
}

/** gate/likeness.json: one hidden layer over the 768 numbers of a thumbnail. */
export interface LikenessWeights {
  hidden: Packed; // [768, units]
  hidden_bias: Packed;
  output: Packed;
  output_bias: number;
  threshold: number;
}

/** gate/reference.json: the numbers of the training films, and what is said of a film that is unlike them. */
export interface GreyReference {
  middle: Packed;
  low: Packed;
  high: Packed;
  mean: Packed;
  whitening: Packed;
  most: Packed;
  sides: Packed;
  least_side: number;
  words: {
    kinds: string[]; // of what each number is
    unlike: [string, string]; // before and behind the kinds
    mirrored: string;
    near: { margin: number; limit: string } | null; // how near to the threshold is near, and what is then said
  };
}

export interface OpenedFilm {
  grey: Grey;
  chroma: number;
  limits: string[];
}

export interface Opened {
  film?: OpenedFilm;
  rejected?: string; // the code of the reason that the file gives itself
}

export type Decision = "refer" | "indeterminate" | "not_flagged";

/** One film's answer, as POST /api/v1/screen gives it. */
export interface Answer {
  result_id?: string;
  status: "ok" | "rejected";
  reason: string | null;
  explanation?: string;
  probability: number | null;
  margin: number | null;
  score: number | null;
  threshold: number | null;
  threshold_score: number | null;
  indeterminate_band: number | null;
  decision: Decision | null;
  decision_words: string | null;
  evidence: { map: number[][]; side: string | null; zone: string | null; href: null } | null;
  calibration: Calibration;
  model: Record<string, unknown>;
  limits: string[];
}

/** The outputs of the network for one film. */
export interface Outputs {
  logits: Float32Array; // [2], negative and positive
  probability: Float32Array; // [1]
  evidence: Float32Array; // [7 * 7]
}
