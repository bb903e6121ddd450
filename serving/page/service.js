// The service: requests, and what went wrong in words for the person who asks.

export const $ = (id) => document.getElementById(id);

const BOXES = {
  reference: "Reference",
  variant: "Variant",
  dna: "Reference",
  text: "Question",
  question: "Question",
  labels: "Answers to score",
  position: "Base to explain",
  vcf: "VCF file",
};

export function headers() {
  const key = $("key").value;
  return { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
}

/** The response to a body, or an error in words. */
export async function post(path, body, signal) {
  const response = await fetch(path, { method: "POST", headers: headers(), body: JSON.stringify(body), signal });
  if (!response.ok) throw new Error(await describe(response));
  return response;
}

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
  const path = error.param?.split(".") ?? [];
  const words = path.length ? error.message.slice(error.param.length + 2) : error.message;
  const box = BOXES[path.find((part) => part in BOXES)];
  return box ? `${box}: ${words}` : words.charAt(0).toUpperCase() + words.slice(1);
}

export function showError(words) {
  $("error").textContent = words;
  $("error").hidden = !words;
  if (words) $("error").scrollIntoView({ block: "nearest" });
}

/** What to say of an error; nothing of one that was asked for. */
export function inWords(error) {
  if (error.name === "AbortError") return "";
  return error instanceof TypeError ? "The service cannot be reached. Is it running?" : error.message;
}

/** The events of a streamed response, one JSON object at a time. */
export async function* readEvents(response) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data: {")) yield JSON.parse(line.slice(6));
    }
  }
}
