// The meaning of each term: shown on hovering wherever the term stands, and listed at the end of the page.

const TERMS = {
  slope: "The measured decrease of the mean loss per unit of γ for a candidate, before anything is changed. See “Deciding” in the documentation.",
  "γ": "The scaling factor of a growth step: new weights are multiplied by its square root. It is found by a line search on held-out data.",
  predicted: "The decrease of the loss per unit of γ that the statistics predict, before the slope is measured.",
  "promised, slope × γ": "The decrease of the loss that the slope promises for this γ. Far from γ = 0 the loss bends, and the step brings less.",
  realised: "The decrease of the held-out loss when the step was made.",
  "held-out loss": "The mean loss on data that are not trained on, before and after the step.",
  "solved by": "The way in which the new weights were computed from the statistics: by Cholesky, or by eigenvalues if the second moment is ill-conditioned. See “Mathematics” in the documentation.",
  "trained to the end": "Whether the rest of the training was at this size. A network that grew on was not trained to the end: its loss is higher than it would be.",
  rank: "The place of the candidate by its slope among all that were measured at this step; those that were left out have none.",
  neurons: "The number of features that the candidate adds or removes. Random ones fill up what is due at a step and was not solved for; they change nothing until they are trained.",
  parameters: "The number of trainable numbers.",
  "multiply-adds": "The number of multiplications with an addition that one sample costs.",
  "grows together with": "Layers of one width group: their outputs meet, so that their widths must be equal.",
  remarks: "The reason a candidate was left out, or a property of it that is out of the ordinary.",
  seed: "The number that all randomness of the run follows from.",
};

const explained = (word) => (word in TERMS ? html("span", { class: "term", title: TERMS[word] }, word) : word);
const termsPanel = () => html("dl", { class: "glossary" }, Object.entries(TERMS).map(([word, meaning]) =>
  html("div", {}, html("dt", {}, word), html("dd", {}, meaning))));
