// The page: reads FASTA, shows the windows that the model sees, asks, and shows the answer as it comes.

const EXAMPLES = [
  {
    name: "TATA box, one base changed",
    reference: "TAGAACTGAGATTCCTGTATAAAAGCCTGGTCCATGTGCCAGTATTTTGTGT",
    variant: "TAGAACTGAGATTCCTGTATAGAAGCCTGGTCCATGTGCCAGTATTTTGTGT",
    question: "Which signal does this variant break?",
  },
  {
    name: "Splice donor, one base deleted",
    reference: "CTAAGTATGCACTGGACCCCACCAGGTAAGTAAACTGGATTTCTTTTCAGGGTCCAACTGCAGAC",
    variant: "CTAAGTATGCACTGGACCCCACCAGGAAGTAAACTGGATTTCTTTTCAGGGTCCAACTGCAGAC",
    question: "Which signal does this variant break?",
  },
  {
    name: "Start codon, one base inserted",
    reference: "CAATAGCTCATCATACATTTCAGCCACCATGGACCACCCCTA",
    variant: "CAATAGCTCATCATACATTTCAGCCACCATAGGACCACCCCTA",
    question: "Compare the two sequences: what is lost?",
  },
];
const LARGEST = 20_000_000; // bytes of a file
const SIGNALS = ["splice donor", "splice acceptor", "start codon", "TATA box", "poly-A signal", "GC box"];

const $ = (id) => document.getElementById(id);
let size = Infinity; // of a window, once the service has told
let asking = null;

// --- sequences

/** The sequences of a text, FASTA or bare bases. */
function readFasta(text) {
  if (!text.trimStart().startsWith(">")) return [text.replace(/\s/g, "")];
  return text.trim().slice(1).split(/^>/m).map((record) => record.replace(/^.*/, "").replace(/\s/g, ""));
}

/** As the processor does: upper case, U is T, ambiguity letters are N. */
function fold(sequence) {
  return sequence.toUpperCase().replaceAll("U", "T").replace(/[RYWSKMBDHV]/g, "N");
}

/** The change, where it is, and the windows around it as the processor cuts them: flank, changed bases, flank. */
function cut(reference, variant) {
  const pair = [reference, variant];
  const shorter = Math.min(reference.length, variant.length);
  let start = 0;
  while (start < shorter && reference[start] === variant[start]) start++;
  let suffix = 0;
  while (suffix < shorter - start && reference.at(-1 - suffix) === variant.at(-1 - suffix)) suffix++;
  const change = pair.map((sequence) => sequence.slice(start, sequence.length - suffix));
  const spare = size - Math.max(...change.map((bases) => bases.length));
  const from = Math.max(0, start - Math.floor(size / 2));
  if (spare < 0) {
    const windows = pair.map((sequence) => [sequence.slice(from, start), sequence.slice(start, from + size), ""]);
    return { start, change, windows };
  }
  const left = Math.min(start, Math.max(Math.floor(spare / 2), spare - suffix));
  const right = Math.min(suffix, spare - left);
  const windows = pair.map((sequence, i) => {
    const end = sequence.length - suffix;
    const window = [sequence.slice(start - left, start), change[i], sequence.slice(end, end + right)];
    // An insertion or deletion that fills the window leaves the other one none: that shows where it happens.
    return window.join("") ? window : [sequence.slice(from, start), "", sequence.slice(start, from + size)];
  });
  return { start, change, windows };
}

/** Two lines of bases in blocks of ten, which wrap together. */
function showWindows() {
  const [reference, variant] = [$("reference"), $("variant")].map((box) => fold(readFasta(box.value)[0]));
  $("windows").hidden = !reference || !variant || reference === variant;
  if ($("windows").hidden) return;
  const { start, change, windows } = cut(reference, variant);
  const [before, width, after] = [0, 1, 2].map((part) => Math.max(...windows.map((window) => window[part].length)));
  const lines = windows.map(([left, changed, right]) =>
    left.padStart(before, "-") + changed.padEnd(width, "-") + right.padEnd(after, "-"),
  );
  const blocks = [];
  for (let at = 0; at < lines[0].length; at += 10) {
    const block = document.createElement("span");
    lines.forEach((line, i) => {
      const [a, b] = [before, before + width].map((place) => Math.min(Math.max(place - at, 0), 10));
      const ten = line.slice(at, at + 10);
      const mark = document.createElement("mark");
      mark.textContent = ten.slice(a, b);
      block.append(ten.slice(0, a), ...(mark.textContent ? [mark] : []), ten.slice(b), i ? "" : "\n");
    });
    blocks.push(block);
  }
  $("bases").replaceChildren(...blocks);
  const marked = $("bases").querySelector("mark");
  $("bases").scrollTop = marked ? marked.offsetTop - 80 : 0;
  const [old, to] = change.map((bases) => (bases.length > 12 ? `${bases.length} bases` : bases));
  const place = `base ${(start + 1).toLocaleString("en")}`;
  const words = !old ? `${to} inserted before ${place}` : !to ? `${old} deleted at ${place}` : `${old} replaced by ${to} at ${place}`;
  $("change").textContent = `Reference above, variant below: ${words}.`;
}

/** Put the sequences of a text into the boxes, from `box` on. */
function fill(text, box) {
  const sequences = readFasta(text);
  const boxes = box === $("variant") && sequences.length === 1 ? [box] : [$("reference"), $("variant")];
  boxes.slice(0, sequences.length).forEach((each, i) => (each.value = sequences[i]));
  showWindows();
  markEarlier();
  showError(sequences.length > 2 ? `There are ${sequences.length} sequences: only the first two were taken.` : "");
}

async function fillFrom(file, box) {
  if (file.size > LARGEST) showError("This file is too large for the page. Cut out the stretch around the variant.");
  else fill(await file.text(), box);
}

for (const box of [$("reference"), $("variant")]) {
  box.addEventListener("input", showWindows);
  box.addEventListener("paste", (event) => {
    const text = event.clipboardData.getData("text");
    if (!text.trimStart().startsWith(">")) return;
    event.preventDefault();
    fill(text, box);
  });
}
// Wherever it is dropped: a browser would leave the page and open the file.
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    if (event.target.matches?.("#question, #labels, #key")) return;
    event.preventDefault();
    document.body.classList.toggle("dropping", type === "dragover");
    if (type !== "drop") return;
    const box = event.target === $("variant") ? $("variant") : $("reference");
    const [file] = event.dataTransfer.files;
    if (file) fillFrom(file, box);
    else fill(event.dataTransfer.getData("text"), box);
  });
}
$("file").addEventListener("change", () => {
  const [file] = $("file").files;
  if (file) fillFrom(file, $("reference"));
  $("file").value = "";
});

for (const [i, example] of EXAMPLES.entries()) $("example").add(new Option(example.name, i));
$("example").addEventListener("change", () => {
  const example = EXAMPLES[$("example").value];
  if (!example) return;
  for (const name of ["reference", "variant", "question"]) $(name).value = example[name];
  $("labels").value = [...SIGNALS.map((signal) => `${signal} loss`), "none of these"].join("\n");
  showWindows();
  showError("");
});

// --- asking

function headers() {
  const key = $("key").value;
  return { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
}

function showError(words) {
  $("error").textContent = words;
  $("error").hidden = !words;
  if (words) $("error").scrollIntoView({ block: "nearest" });
}

/** What went wrong, in words for the person who asks. */
async function describe(response) {
  const { error } = await response.json().catch(() => ({}));
  if (response.status === 401) {
    $("locked").hidden = false;
    return "This service asks for a key. Please enter it and ask again.";
  }
  if (response.status === 429) {
    return `Many are asking at the moment. Please try again in ${response.headers.get("Retry-After")} s.`;
  }
  if (!error) return `The service cannot answer at the moment (status ${response.status}). Please try again later.`;
  const boxes = { reference: "Reference", variant: "Variant", dna: "Reference", text: "Question", labels: "Answers to score" };
  const path = error.param?.split(".") ?? [];
  const words = path.length ? error.message.slice(error.param.length + 2) : error.message;
  const box = boxes[path.find((part) => part in boxes)];
  return box ? `${box}: ${words}` : words.charAt(0).toUpperCase() + words.slice(1);
}

/** The events of a streamed response, one JSON object at a time. */
async function* readEvents(response) {
  let rest = "";
  for await (const text of decode(response.body.getReader())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data: {")) yield JSON.parse(line.slice(6));
    }
  }
}

async function* decode(reader) {
  const decoder = new TextDecoder();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield decoder.decode(value, { stream: true });
  }
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

function showScores(scores) {
  const rows = Object.entries(scores).sort((one, other) => other[1] - one[1]);
  $("scores").replaceChildren(
    ...rows.map(([label, score]) => {
      const row = document.createElement("div");
      const [name, bar, value] = ["dt", "dd", "dd"].map((tag) => document.createElement(tag));
      const filled = document.createElement("span");
      name.textContent = label;
      filled.style.width = `${100 * score}%`;
      bar.className = "bar";
      bar.setAttribute("aria-hidden", "true");
      bar.append(filled);
      value.textContent = score.toFixed(3);
      row.append(name, bar, value);
      return row;
    }),
  );
  $("scored").hidden = false;
}

async function ask() {
  const reference = readFasta($("reference").value)[0];
  const variant = readFasta($("variant").value)[0];
  const block = variant ? { type: "variant", reference, variant } : { type: "dna", dna: reference };
  const content = [block, { type: "text", text: $("question").value }];
  const labels = $("labels").value.split("\n").map((label) => label.trim()).filter(Boolean);
  const body = { messages: [{ role: "user", content }], stream: true, ...(labels.length ? { labels } : {}) };

  asking = new AbortController();
  $("ask").disabled = true;
  $("stop").hidden = false;
  for (const id of ["scored", "reasoned"]) $(id).hidden = true;
  showError("");
  $("result").hidden = false;
  $("result").classList.remove("earlier");
  $("answer").textContent = "";
  $("answer").setAttribute("aria-busy", "true"); // read it out once, when it is whole
  $("status").textContent = "Waiting …";
  $("result").scrollIntoView({ block: "nearest" });
  const said = { reasoning_content: "", content: "" };
  let reason = null;
  try {
    const options = { method: "POST", headers: headers(), body: JSON.stringify(body), signal: asking.signal };
    const response = await fetch("v1/chat/completions", options);
    if (!response.ok) throw new Error(await describe(response));
    for await (const event of readEvents(response)) {
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
      if (event.label_scores) showScores(event.label_scores);
    }
    if (!reason) throw new Error("The answer broke off. Please ask again.");
    $("status").textContent = reason === "length" ? "Cut off at the longest answer allowed." : "Done.";
  } catch (error) {
    if (error.name === "AbortError") {
      $("status").textContent = "Stopped.";
    } else {
      $("status").textContent = said.content || said.reasoning_content ? "Broken off." : "";
      $("result").hidden = !$("status").textContent;
      showError(error instanceof TypeError ? "The service cannot be reached. Is it running?" : error.message);
    }
  }
  $("answer").removeAttribute("aria-busy");
  $("ask").disabled = false;
  $("stop").hidden = true;
}

/** An answer must not be taken for one to what was entered since. */
function markEarlier() {
  if ($("result").hidden || $("ask").disabled) return;
  $("result").classList.add("earlier");
  $("status").textContent = "This is the answer to what you asked before.";
}

$("form").addEventListener("input", markEarlier);
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!$("ask").disabled) ask();
});
$("form").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
});
$("stop").addEventListener("click", () => asking.abort());

/** The name of the model and the size of its windows; again later while it is loading. */
async function readModel() {
  try {
    const response = await fetch("v1/models", { headers: headers() });
    if (response.status === 401) $("locked").hidden = false;
    if (!response.ok) return;
    const [model] = (await response.json()).data;
    const loading = model.dna_window === null;
    document.title = `${model.id} · textgenome`;
    $("model").textContent = loading ? `${model.id} is being loaded …` : model.id;
    if (loading) setTimeout(readModel, 2000);
    else size = model.dna_window;
    showWindows();
  } catch {
    // The error is shown to whoever asks.
  }
}
$("key").addEventListener("change", readModel);
readModel();
