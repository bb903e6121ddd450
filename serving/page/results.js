// Results: scores as bars, pictures, and tables of what a head found.

import { $ } from "./service.js";

const LISTED = 20; // stretches in a table
const SHOWN = 12; // bars

function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}

/** A bar for each label, with a mark where the label is without DNA, and the difference to that; below them any other answer. */
export function showScores(scores, prior = null, others = null, hint = "") {
  const rows = Object.entries(scores).sort((one, other) => other[1] - one[1]);
  const bars = rows.slice(0, SHOWN).map(([label, score]) => bar(label, score, prior?.[label]));
  if (rows.length > SHOWN) bars.push(element("p", `${rows.length - SHOWN} more, each at most ${rows[SHOWN][1].toFixed(3)}`, "hint"));
  if (others !== null) bars.push(bar("any other answer", others, undefined, "others"));
  $("scores").replaceChildren(...bars);
  $("scores").classList.toggle("compared", prior !== null);
  $("scores-hint").textContent = hint;
  $("scored").hidden = false;
}

function bar(label, score, prior, className = "") {
  const row = element("div", "", className);
  const track = element("dd", "", "bar");
  track.setAttribute("aria-hidden", "true");
  const filled = element("span");
  filled.style.width = `${100 * score}%`;
  track.append(filled);
  row.append(element("dt", label), track, element("dd", score.toFixed(3)));
  if (prior !== undefined) {
    const mark = element("i");
    mark.style.left = `${100 * prior}%`;
    track.append(mark);
    const change = score - prior;
    const sign = Math.abs(change) < 0.0005 ? "" : change < 0 ? "−" : "+";
    row.append(element("dd", `${sign}${Math.abs(change).toFixed(3)}`, "change"));
    row.title = `${prior.toFixed(3)} without DNA`;
  }
  return row;
}

export function picture(image, svg, words) {
  const bytes = new TextEncoder().encode(svg);
  const letters = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  image.src = `data:image/svg+xml;base64,${btoa(letters)}`;
  image.alt = words;
  return image.src;
}

export function fillTable(table, columns, rows) {
  const head = element("tr");
  head.append(...columns.map((name) => element("th", name)));
  table.tHead.replaceChildren(head);
  table.tBodies[0].replaceChildren(
    ...rows.map((cells) => {
      const row = element("tr");
      row.append(...cells.map((cell) => element("td", String(cell))));
      return row;
    }),
  );
}

/** What a head says: a class, a value, labelled stretches or tracks. */
export function showPrediction(found) {
  $("answer").textContent = inOneLine(found);
  if (found.label_scores) showScores(found.label_scores, null, null, "Probabilities that the model gives.");
  const listed = found.stretches ?? found.track_means;
  if (!listed) return;
  $("drawn").hidden = false;
  $("drawing").parentElement.hidden = !found.picture;
  if (found.picture) picture($("drawing"), found.picture, found.stretches ? "Labels along the sequence" : "Tracks along the sequence");
  if (found.stretches) {
    listStretches(found.stretches, found.stretches_left_out ?? 0);
  } else {
    const entries = Object.entries(found.track_means);
    const both = entries[0][1].length === 2;
    const rows = entries.map(([name, means]) => [name, ...means.map((mean) => mean.toPrecision(3)), ...(both ? [(means[1] - means[0]).toPrecision(3)] : [])]);
    fillTable($("found"), ["Track", ...(both ? ["Mean of the reference", "Mean of the variant", "Difference"] : ["Mean"])], rows);
    $("found-hint").textContent = "";
  }
  if (found.lanes_left_out) $("found-hint").textContent += ` The picture leaves out the ${found.lanes_left_out} with the lowest means.`;
}

function listStretches(stretches, leftOut) {
  const longest = stretches.toSorted((one, other) => other.end - other.start - (one.end - one.start)).slice(0, LISTED);
  const compared = stretches.some((each) => each.sequence === "variant");
  const rows = longest.map((each) => [
    each.label,
    ...(compared ? [each.sequence] : []),
    each.strand,
    each.start.toLocaleString("en"),
    each.end.toLocaleString("en"),
    each.probability.toFixed(3),
  ]);
  fillTable($("found"), ["Label", ...(compared ? ["Sequence"] : []), "Strand", "First base", "Last base", "Mean probability"], rows);
  const count = stretches.length + leftOut;
  const which = count > rows.length ? `The ${rows.length} longest of ${count} stretches. ` : "";
  $("found-hint").textContent = `${which}Bases are counted from 1.`;
}

/** The same in a few words. */
export function inOneLine(found) {
  if (found.values) return Object.entries(found.values).map(([name, value]) => `${name}: ${value.toPrecision(4)}`).join(", ");
  if (found.stretches) return `${found.stretches.length} labelled stretches`;
  if (found.track_means) return `${Object.keys(found.track_means).length} tracks`;
  return found.answer || "none of the labels";
}
