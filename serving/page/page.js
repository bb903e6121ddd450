// The page: fits itself to the model, asks, and shows what comes.

import { fillTable, inOneLine, picture, showPrediction, showScores } from "./results.js";
import { entered, showWindows, takeSequences } from "./sequences.js";
import { $, headers, inWords, post, readEvents, showError } from "./service.js";

const TITLES = {
  answers: "Ask about a variant",
  classification: "Classify DNA",
  annotation: "Label bases",
  tracks: "Predict tracks",
};
let model = { task: "answers", sequences: 2, labels: null, examples: [], takes_vcf: false };
let calls = [];
let asking = null;

// --- asking

function labels() {
  return $("labels").value.split("\n").map((label) => label.trim()).filter(Boolean);
}

function conversation({ reference, variant }) {
  const block = variant ? { type: "variant", reference, variant } : { type: "dna", dna: reference };
  return [{ role: "user", content: [block, { type: "text", text: $("question").value }] }];
}

/** Reasoning and answer. All text before the last line that gives the answer is reasoning, too. */
function split({ reasoning_content: reasoning, content }) {
  const last = [...content.matchAll(/^[^\w\n]*answer[*_`]*[^\S\n]*:[*_`]*/gim)].at(-1);
  if (!last) return [reasoning, content];
  return [`${reasoning}\n${content.slice(0, last.index)}`.trim(), content.slice(last.index + last[0].length).trim()];
}

function listItems(reasoning) {
  const steps = reasoning.split(/\n+|(?<=[.!?])\s+(?=[A-Z])/).filter((step) => step.trim());
  return steps.map((step) => {
    const item = document.createElement("li");
    item.textContent = step.trim().replace(/^(step\s*)?\d+[.:)]\s*/i, "");
    return item;
  });
}

function isBusy() {
  return $("ask").disabled;
}

/** Do one thing at a time, which can be stopped; errors are shown. Returns whether it came to its end. */
async function alone(work) {
  asking = new AbortController();
  for (const id of ["ask", "explain", "all"]) $(id).disabled = true;
  $("stop").hidden = false;
  showError("");
  try {
    await work(asking.signal);
    return true;
  } catch (error) {
    showError(inWords(error));
    return false;
  } finally {
    for (const id of ["ask", "explain", "all"]) $(id).disabled = false;
    $("stop").hidden = true;
  }
}

function begin() {
  for (const id of ["scored", "reasoned", "drawn"]) $(id).hidden = true;
  $("result").hidden = false;
  for (const id of ["result", "explained"]) $(id).classList.remove("earlier");
  $("explained").hidden = true;
  $("answer").textContent = "";
  $("answer").classList.remove("long");
  $("answer").setAttribute("aria-busy", "true"); // read it out once, when it is whole
  $("status").textContent = "Waiting …";
  $("result").scrollIntoView({ block: "nearest" });
}

async function ask() {
  begin();
  const said = { reasoning_content: "", content: "" };
  const done = await alone((signal) => (model.task === "answers" ? write(said, signal) : predict(signal)));
  if (!done && asking.signal.aborted) {
    $("status").textContent = "Stopped.";
  } else if (!done) {
    $("status").textContent = said.content || said.reasoning_content ? "Broken off." : "";
    $("result").hidden = !$("status").textContent;
  }
  $("answer").removeAttribute("aria-busy");
}

async function write(said, signal) {
  const choices = labels();
  const body = { messages: conversation(entered()), stream: true, ...(choices.length ? { labels: choices } : {}) };
  let reason = null;
  for await (const event of readEvents(await post("v1/chat/completions", body, signal))) {
    if (event.error) throw new Error(event.error.message);
    const { delta, finish_reason: finished } = event.choices[0];
    reason = finished;
    for (const name of Object.keys(said)) said[name] += delta[name] ?? "";
    const [reasoning, answer] = split(said);
    $("answer").textContent = answer;
    $("answer").classList.toggle("long", answer.length > 120);
    $("steps").replaceChildren(...listItems(reasoning));
    $("reasoned").hidden = !reasoning;
    $("status").textContent = answer ? "Writing …" : reasoning ? "Reasoning …" : "Waiting …";
    if (event.label_scores) {
      const prior = event.label_scores_without_dna ?? null;
      const mark = prior ? " The mark and the difference compare with the same question without DNA: what is as likely there is a prior." : "";
      const hint = `Probability among these answers, after the reasoning of this answer.${mark} “Any other answer” is the probability that the model says something else.`;
      showScores(event.label_scores, prior, event.other_answers, hint);
    }
  }
  if (!reason) throw new Error("The answer broke off. Please ask again.");
  $("status").textContent = reason === "length" ? "Cut off at the longest answer allowed." : "Done.";
}

async function predict(signal) {
  showPrediction(await (await post("dna", entered(), signal)).json());
  $("status").textContent = "Done.";
}

// --- what matters

async function explain() {
  const asked = model.task === "answers" ? { question: $("question").value } : {};
  const { reference, variant } = entered();
  const position = $("position").value;
  const body = {
    reference,
    ...(variant && model.sequences === 2 ? { variant } : {}),
    ...asked,
    ...(model.task === "annotation" && position ? { position: Number(position) } : {}),
  };
  $("explained").hidden = false;
  $("explained").classList.remove("earlier");
  $("explanation").hidden = true;
  $("sentence").textContent = "Changing each base …";
  $("explained").scrollIntoView({ block: "nearest" });
  const done = await alone(async (signal) => {
    const found = await (await post("explain", body, signal)).json();
    $("sentence").textContent = found.sentence;
    if (!found.picture) return;
    $("save").href = picture($("logo"), found.picture, found.sentence);
    $("explanation").hidden = false;
    $("explained").scrollIntoView({ block: "nearest" });
    const frame = $("logo").parentElement; // on a narrow screen the middle is what matters
    $("logo").decode().then(() => (frame.scrollLeft = (frame.scrollWidth - frame.clientWidth) / 2));
  });
  $("explained").hidden = !done;
}

// --- variants of a file

/** Only what tells the variants is sent: neither names nor genotypes, nor what the header says. Lines keep their numbers. */
function variantsOnly(text) {
  const record = (cell, i) => ([0, 1, 3, 4].includes(i) ? cell.split(" ")[0] : "."); // CHROM, POS, REF and ALT
  const lines = text.split(/\r?\n/).map((line) => {
    if (line.startsWith("##")) return line.startsWith("##fileformat") ? line : "##";
    const cells = line.split("\t").slice(0, 8);
    return (line.startsWith("#") ? cells : cells.map(record)).join("\t");
  });
  return lines.join("\n");
}

async function takeCalls(text) {
  if (!model.takes_vcf) {
    showError("This service has no genome to read a VCF file on: it must be started with --fasta.");
    return;
  }
  if (isBusy()) {
    showError("Wait for the answer, or stop it, and give the VCF file again.");
    return;
  }
  let found;
  const done = await alone(async (signal) => {
    found = await (await post("variants", { vcf: variantsOnly(text) }, signal)).json();
  });
  if (!done) return;
  calls = found.data;
  $("call").replaceChildren(...calls.map((call, i) => new Option(call.name, i)));
  $("called").hidden = false;
  $("answers").hidden = true;
  useCall();
  if (found.left_out) showError(`${found.left_out} alleles without a sequence were left out.`);
}

function useCall() {
  const { reference, variant } = calls[$("call").value];
  $("reference").value = reference;
  $("variant").value = variant;
  $("example").value = "";
  showWindows();
  markEarlier();
}

async function askAll() {
  if (!$("question").reportValidity()) return;
  const rows = calls.map(({ name }) => [name, "…"]);
  const show = () => fillTable($("answers").querySelector("table"), ["Variant", "Answer"], rows);
  $("answers").hidden = false;
  $("answers").scrollIntoView({ block: "nearest" });
  show();
  const done = await alone(async (signal) => {
    for (const [i, call] of calls.entries()) {
      rows[i][1] = await answerTo(call, signal);
      show();
    }
  });
  if (!done) rows.filter((row) => row[1] === "…").forEach((row) => (row[1] = "not asked"));
  show();
}

async function answerTo(call, signal) {
  if (model.task !== "answers") {
    const { reference, variant } = call;
    const said = async (body) => inOneLine(await (await post("dna", body, signal)).json());
    if (model.sequences === 2) return said({ reference, variant });
    return `${await said({ reference })} → ${await said({ reference: variant })}`;
  }
  const body = { messages: conversation(call) };
  const { choices } = await (await post("v1/chat/completions", body, signal)).json();
  return split(choices[0].message)[1];
}

// --- the form

/** A result must not be taken for one of what was entered since. */
function markEarlier() {
  if (isBusy()) return;
  $("explained").classList.add("earlier");
  if ($("result").hidden) return;
  $("result").classList.add("earlier");
  $("status").textContent = "This is the answer to what you asked before.";
}

function useExample() {
  const example = model.examples[$("example").value];
  if (!example) return;
  for (const name of ["reference", "variant", "question"]) $(name).value = example[name] ?? "";
  showWindows();
  showError("");
}

takeSequences(markEarlier, takeCalls);
$("example").addEventListener("change", useExample);
$("call").addEventListener("change", useCall);
$("all").addEventListener("click", askAll);
$("explain").addEventListener("click", () => {
  if ($("form").reportValidity()) explain();
});
$("form").addEventListener("input", markEarlier);
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!isBusy()) ask();
});
$("form").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
});
$("stop").addEventListener("click", () => asking.abort());

/** Show what this model takes, and nothing else. */
function fit() {
  const writes = model.task === "answers";
  const single = model.task === "classification" && model.sequences === 1;
  $("title").textContent = TITLES[model.task];
  $("ask").textContent = writes ? "Ask" : "Predict";
  $("answer-title").textContent = writes ? "Answer" : "Prediction";
  $("all").textContent = writes ? "Ask about all" : "Predict for all";
  $("all").hidden = !writes && model.task !== "classification";
  $("reference-label").textContent = single ? "Sequence" : "Reference";
  $("variant-box").hidden = single;
  for (const id of ["asked", "compared"]) $(id).hidden = !writes;
  $("question").required = writes;
  $("variant").required = !writes && model.sequences === 2;
  $("alone").textContent = writes ? "Without a variant the question is about one sequence." : model.sequences === 2 ? "" : single ? "" : "With a variant both are predicted.";
  $("placed").hidden = model.task !== "annotation";
  $("takes-vcf").hidden = !model.takes_vcf;
  $("examples").hidden = !model.examples.length;
  const names = model.examples.map((example, i) => new Option(`${i + 1}: ${example.answer}`, i));
  $("example").replaceChildren(new Option("Pick one by its known answer, or enter your own", ""), ...names);
  if (writes && model.labels && !$("labels").value) $("labels").value = model.labels.join("\n");
}

/** What the model is; again later while it is loading. */
async function readModel() {
  try {
    const response = await fetch("v1/models", { headers: headers() });
    if (response.status === 401) $("locked").hidden = false;
    if (!response.ok) return;
    const [found] = (await response.json()).data;
    const loading = found.task === null;
    document.title = `${found.id} · textgenome`;
    $("model").textContent = loading ? `${found.id} is being loaded …` : found.id;
    if (loading) {
      setTimeout(readModel, 2000);
      return;
    }
    model = found;
    fit();
    showWindows();
  } catch {
    // The error is shown to whoever asks.
  }
}
$("key").addEventListener("change", readModel);
readModel();
