// Nodes made of data: strings become text, never markup.

const PREVIEW_CHARS = 200;

/** An element with attributes and children; strings become text nodes. */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** What only screen readers read. */
export function hidden(tag, text) {
  return element(tag, { class: "visually-hidden" }, text);
}

/** A value in one short line. */
export function preview(value) {
  const values = isRecord(value) ? Object.values(value) : [];
  const shown = values.length === 1 ? values[0] : value;
  if (isRecord(shown) && Object.keys(shown).length === 0) return "";
  const text = typeof shown === "string" ? shown : (JSON.stringify(shown) ?? "");
  return text.length > PREVIEW_CHARS ? `${text.slice(0, PREVIEW_CHARS)}…` : text;
}

export function isRecord(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
