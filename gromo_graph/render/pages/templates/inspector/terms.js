// The meaning of each term and the page of the documentation that has more: shown on hovering wherever the term stands,
// and listed at the end of the page, where a click on it leads.

const TERMS = {
  slope: ["The measured decrease of the mean loss per unit of γ for a candidate, before anything is changed.", "docs/maths.md#exact-slopes"],
  "γ": ["The scaling factor of a growth step: new weights are multiplied by its square root. It is found by a line search on held-out data.", "docs/maths.md#step-size"],
  predicted: ["The decrease of the loss per unit of γ that the statistics predict, before the slope is measured.", "docs/maths.md#optimal-new-neurons"],
  "promised, slope × γ": ["The decrease of the loss that the slope promises for this γ. Far from γ = 0 the loss bends, and the step brings less.", "docs/deciding.md#what-a-slope-is"],
  realised: ["The decrease of the held-out loss when the step was made.", "docs/inspecting.md"],
  "held-out loss": ["The mean loss on data that are not trained on, before and after the step.", "docs/my_data.md"],
  "solved by": ["The way in which the new weights were computed from the statistics: by Cholesky, or by eigenvalues if the second moment is ill-conditioned.", "docs/maths.md#optimal-new-neurons"],
  "trained to the end": ["Whether the rest of the training was at this size. A network that grew on was not trained to the end: its loss is higher than it would be.", "docs/runs.md#loss-against-size"],
  rank: ["The rank of the candidate by slope among all candidates measured at this step; candidates that were left out have none.", "docs/deciding.md#order-of-the-candidates-growthselect"],
  neurons: ["The number of features that the candidate adds or removes. Random ones fill up what is due at a step and was not solved for; they change nothing until they are trained.", "docs/deciding.md#when-and-how-many-neurons-growthwhen"],
  parameters: ["The number of trainable numbers.", "docs/how_large.md"],
  "multiply-adds": ["The number of multiplications with an addition that one sample costs.", "docs/how_large.md"],
  "grows together with": ["Layers of one width group: their outputs meet, so that their widths must be equal.", "docs/maths.md#width-groups"],
  weights: ["How many weights of the node have which value. The highest bar has full height.", "docs/inspecting.md"],
  outputs: ["How many outputs of the node have which value, over up to 256 held-out samples. A high bar at 0 behind a relu shows neurons that seldom fire.", "docs/inspecting.md"],
  remarks: ["The reason a candidate was left out, or a property of it that is out of the ordinary.", "docs/troubleshooting.md"],
  seed: ["The number that all randomness of the run follows from.", "docs/runs.md"],
};

const meaningOf = (word) => (word in TERMS ? TERMS[word][0] : null);
const explainedAs = (words, term) => html("span", { class: "term", title: meaningOf(term), click: () => showTerm(term) }, words);
const explained = (word) => (word in TERMS ? explainedAs(word, word) : word);
const termsPanel = () => html("dl", { class: "glossary" }, Object.entries(TERMS).map(([word, [meaning, page]]) =>
  html("div", { "data-term": word, tabindex: "-1" }, html("dt", {}, word), html("dd", {}, meaning, " ", html("span", { class: "quiet" }, "More in ", html("code", {}, page))))));

function showTerm(word) {
  $("terms").open = true;
  const entry = [...document.querySelectorAll("#glossary [data-term]")].find((each) => each.dataset.term === word);
  entry.scrollIntoView({ block: "center" });
  entry.focus({ preventScroll: true });
}
