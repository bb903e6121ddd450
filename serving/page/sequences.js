// Sequences: read from FASTA, put into the boxes, and shown as the windows that the model sees.

import { $, inWords, post, showError } from "./service.js";

const LARGEST = 20_000_000; // bytes of a file
const PAUSE = 250; // milliseconds without typing before the service is asked for the windows
let cutting = null;
let timer = 0;

/** The sequences of a text, FASTA or bare bases. */
export function readFasta(text) {
  if (!text.trimStart().startsWith(">")) return [text.replace(/\s/g, "")];
  return text.trim().slice(1).split(/^>/m).map((record) => record.replace(/^.*/, "").replace(/\s/g, ""));
}

/** What is in the boxes; a variant that is not there or not asked for is left out. */
export function entered() {
  const [reference] = readFasta($("reference").value);
  const [variant] = readFasta($("variant").value);
  return variant && !$("variant-box").hidden ? { reference, variant } : { reference };
}

/** Ask for the windows of a pair, once nothing is typed any more. */
export function showWindows() {
  clearTimeout(timer);
  cutting?.abort();
  const pair = entered();
  if (!pair.reference || !pair.variant || pair.reference === pair.variant) {
    $("windows").hidden = true;
    return;
  }
  timer = setTimeout(() => cut(pair), PAUSE);
}

async function cut(pair) {
  cutting = new AbortController();
  try {
    draw(await (await post("window", pair, cutting.signal)).json());
  } catch (error) {
    if (inWords(error)) $("windows").hidden = true; // whoever asks is told why
  }
}

/** Two lines of bases in blocks of ten, which wrap together. */
function draw({ position, removed, added, reference, variant }) {
  const windows = [reference, variant].map(({ before, changed, after }) => [before, changed, after]);
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
  $("windows").hidden = false;
  const marked = $("bases").querySelector("mark");
  $("bases").scrollTop = marked ? marked.offsetTop - 80 : 0;
  const letters = (bases, count) => (count > 12 ? `${count} bases` : bases);
  const [old, to] = [letters(reference.changed, removed), letters(variant.changed, added)];
  const place = `base ${position.toLocaleString("en")}`;
  const words = !removed ? `${to} inserted before ${place}` : !added ? `${old} deleted at ${place}` : `${old} replaced by ${to} at ${place}`;
  $("change").textContent = `Reference above, variant below: ${words} of the reference, counted from 1.`;
}

/** Put the sequences of a text into the boxes, from `box` on. */
function fill(text, box, changed) {
  const sequences = readFasta(text);
  const both = $("variant-box").hidden ? [$("reference")] : [$("reference"), $("variant")];
  const boxes = box === $("variant") && sequences.length === 1 ? [box] : both;
  boxes.slice(0, sequences.length).forEach((each, i) => (each.value = sequences[i]));
  showWindows();
  changed();
  const taken = boxes.length > 1 ? "the first two were" : "the first was";
  showError(sequences.length > boxes.length ? `There are ${sequences.length} sequences: only ${taken} taken.` : "");
}

/**
 * Take sequences that are typed, pasted, dropped or chosen.
 * `changed` is called after that; `takeCalls` gets the text of a VCF file.
 */
export function takeSequences(changed, takeCalls) {
  const take = (text, box) => (text.startsWith("##fileformat=VCF") ? takeCalls(text) : fill(text, box, changed));
  const takeFile = async (file, box) => {
    const [first, second] = new Uint8Array(await file.slice(0, 2).arrayBuffer());
    if (first === 0x1f && second === 0x8b) showError("This file is compressed. Uncompress it, for example by gunzip.");
    else if (file.size > LARGEST) showError("This file is too large for the page. Cut out the stretch around the variant.");
    else take(await file.text(), box);
  };
  for (const box of [$("reference"), $("variant")]) {
    box.addEventListener("input", showWindows);
    box.addEventListener("paste", (event) => {
      const text = event.clipboardData.getData("text");
      if (!text.trimStart().startsWith(">") && !text.startsWith("##fileformat=VCF")) return;
      event.preventDefault();
      take(text, box);
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
      if (file) takeFile(file, box);
      else take(event.dataTransfer.getData("text"), box);
    });
  }
  $("file").addEventListener("change", () => {
    const [file] = $("file").files;
    if (file) takeFile(file, $("reference"));
    $("file").value = "";
  });
}
