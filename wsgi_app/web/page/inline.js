// Markdown within a paragraph: code, emphasis, links, line breaks.

import { element } from "./dom.js";

const MAX_DEPTH = 6; // of emphasis and links within each other
const MAX_LABEL_CHARS = 500;
const MAX_TARGET_CHARS = 2_000;
const PROTOCOLS = new Set(["http:", "https:", "mailto:"]);
const PLAIN = /(?:(?!https?:\/\/)[^\\`*_~[!<&\n])+/y;
const BARE_URL = /https?:\/\/[^\s<>"`]{1,2000}/y;
const ANGLE_URL = /<((?:https?:\/\/|mailto:)[^\s<>]{1,2000})>/y;
const ENTITY = /&(amp|lt|gt|quot|apos|#39|nbsp);/y;
const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", "#39": "'", nbsp: "\u00a0" };
const PUNCTUATION = /[!-/:-@[-`{-~]/;
const WORD = /[\p{L}\p{N}]/u;

/** The nodes of a text. If it is still to go on, what is open at its end counts as closed there. */
export function inline(text, isOpen = false, depth = 0, inLink = false) {
  return new Inline(text, isOpen, depth, inLink).nodes();
}

class Inline {
  #text;
  #isOpen;
  #depth;
  #inLink;
  #at = 0;
  #plain = "";
  #nodes = [];
  #unclosed = new Set(); // marks that nothing closes from here on

  constructor(text, isOpen, depth, inLink) {
    this.#text = text;
    this.#isOpen = isOpen;
    this.#depth = depth;
    this.#inLink = inLink;
  }

  nodes() {
    while (this.#at < this.#text.length) {
      const plain = this.#match(PLAIN);
      if (plain !== null) this.#literal(plain[0]);
      else if (!this.#special(this.#text[this.#at])) this.#literal(this.#text[this.#at]);
    }
    this.#flush();
    return this.#nodes;
  }

  #match(pattern) {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#text);
  }

  #literal(text, length = text.length) {
    this.#plain += text;
    this.#at += length;
    return true;
  }

  #flush() {
    if (this.#plain !== "") this.#nodes.push(document.createTextNode(this.#plain));
    this.#plain = "";
  }

  #push(node, end) {
    this.#flush();
    this.#nodes.push(node);
    this.#at = end;
    return true;
  }

  #inner(text, isOpen = false, inLink = this.#inLink) {
    return inline(text, isOpen, this.#depth + 1, inLink);
  }

  #special(char) {
    switch (char) {
      case "\\":
        return this.#escape();
      case "\n":
        return this.#lineEnd();
      case "`":
        return this.#code();
      case "*":
      case "_":
      case "~":
        return this.#emphasis(char);
      case "!":
        return this.#text[this.#at + 1] === "[" && this.#link(this.#at + 1);
      case "[":
        return this.#link(this.#at);
      case "<":
        return this.#angleUrl();
      case "&":
        return this.#entity();
      default:
        return this.#bareUrl();
    }
  }

  #escape() {
    const next = this.#text[this.#at + 1] ?? "";
    if (next === "\n") return this.#push(element("br"), this.#at + 2);
    return PUNCTUATION.test(next) && this.#literal(next, 2);
  }

  #lineEnd() {
    if (!this.#plain.endsWith("  ")) return this.#literal("\n");
    this.#plain = this.#plain.trimEnd();
    return this.#push(element("br"), this.#at + 1);
  }

  #entity() {
    const match = this.#match(ENTITY);
    return match !== null && this.#literal(ENTITIES[match[1]], match[0].length);
  }

  #code() {
    const length = runLength(this.#text, this.#at);
    const mark = "`".repeat(length);
    const start = this.#at + length;
    const end = this.#unclosed.has(mark) ? -1 : findRun(this.#text, mark, start);
    if (end < 0) {
      this.#unclosed.add(mark);
      if (!this.#isOpen || start === this.#text.length) return this.#literal(mark);
    }
    const body = this.#text.slice(start, end < 0 ? undefined : end).replaceAll("\n", " ");
    const padded = /^ .*[^ ].* $/.test(body) ? body.slice(1, -1) : body;
    return this.#push(element("code", {}, padded), end < 0 ? this.#text.length : end + length);
  }

  #emphasis(char) {
    const run = runLength(this.#text, this.#at);
    const mark = char.repeat(Math.min(run, 2));
    if ((char === "~" && run !== 2) || this.#depth >= MAX_DEPTH || !this.#opens(char, run)) {
      return this.#literal(char.repeat(run));
    }
    const tag = char === "~" ? "del" : mark.length === 2 ? "strong" : "em";
    const start = this.#at + mark.length;
    const end = this.#unclosed.has(mark) ? -1 : this.#findClose(char, mark.length, start);
    if (end >= 0) {
      const inner = this.#inner(this.#text.slice(start, end));
      return this.#push(element(tag, {}, ...inner), end + mark.length);
    }
    this.#unclosed.add(mark);
    if (!this.#isOpen || tag !== "strong") return this.#literal(char.repeat(run));
    const inner = this.#inner(this.#text.slice(start), true);
    return this.#push(element(tag, {}, ...inner), this.#text.length);
  }

  #opens(char, run) {
    const before = this.#text[this.#at - 1] ?? " ";
    const after = this.#text[this.#at + run] ?? " ";
    return !/\s/.test(after) && !(char === "_" && WORD.test(before));
  }

  /** Where the mark that closes an emphasis begins, or -1. Longer runs close inner marks first. */
  #findClose(char, length, start) {
    const text = this.#text;
    const unclosed = new Set();
    for (let at = start; at < text.length; ) {
      if (text[at] === "\\") at += 2;
      else if (text[at] === "`") at = afterCode(text, at, unclosed);
      else if (text[at] === char) {
        const run = runLength(text, at);
        const fits = length === 2 ? run >= 2 : run % 2 === 1;
        const splitsWord = char === "_" && WORD.test(text[at + run] ?? " ");
        if (fits && at > start && !/\s/.test(text[at - 1]) && !splitsWord) return at + run - length;
        at += run;
      } else at += 1;
    }
    return -1;
  }

  #link(start) {
    const label = this.#inLink || this.#depth >= MAX_DEPTH ? null : this.#label(start);
    const target = label === null ? null : readTarget(this.#text, start + label.length + 3);
    const url = target && safeUrl(target.url);
    if (!url) return false;
    const inner = this.#inner(label, false, true);
    return this.#push(anchor(url, inner.length > 0 ? inner : [url]), target.end);
  }

  /** The text between the brackets, if a target follows them. */
  #label(start) {
    const last = Math.min(this.#text.length, start + MAX_LABEL_CHARS);
    let open = 0;
    for (let at = start; at < last; at += 1) {
      const char = this.#text[at];
      if (char === "\\") at += 1;
      else if (char === "[") open += 1;
      else if (char === "]" && (open -= 1) === 0) {
        return this.#text[at + 1] === "(" ? this.#text.slice(start + 1, at) : null;
      }
    }
    return null;
  }

  #angleUrl() {
    const match = this.#match(ANGLE_URL);
    const url = match && !this.#inLink && safeUrl(match[1]);
    return Boolean(url) && this.#push(anchor(url, [match[1]]), this.#at + match[0].length);
  }

  #bareUrl() {
    const match = this.#inLink ? null : this.#match(BARE_URL);
    if (match === null) return false;
    const text = withoutTail(match[0]);
    const url = safeUrl(text);
    return url !== null && this.#push(anchor(url, [text]), this.#at + text.length);
  }
}

function anchor(url, children) {
  const attributes = { href: url, title: url, target: "_blank", rel: "noopener noreferrer" };
  return element("a", attributes, ...children);
}

/** The address as the browser reads it, or null if it may not be a link. */
function safeUrl(text) {
  try {
    const url = new URL(text);
    return PROTOCOLS.has(url.protocol) ? url.href : null;
  } catch {
    return null; // not an address
  }
}

/** Reads `url "title")` from behind the bracket. */
function readTarget(text, start) {
  const last = Math.min(text.length, start + MAX_TARGET_CHARS);
  let open = 1;
  for (let at = start; at < last; at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === "(") open += 1;
    else if (text[at] === ")" && (open -= 1) === 0) {
      const [url] = text.slice(start, at).trim().split(/\s/, 1);
      return { url: url.replace(/^<(.*)>$/, "$1"), end: at + 1 };
    }
  }
  return null;
}

/** Punctuation behind an address is the sentence's, a bracket too unless it was opened within. */
function withoutTail(url) {
  let end = url.length;
  while (/[.,;:!?'*_~\])]/.test(url[end - 1] ?? "")) {
    const head = url.slice(0, end);
    if (url[end - 1] === ")" && head.split("(").length >= head.split(")").length) break;
    end -= 1;
  }
  return url.slice(0, end);
}

function runLength(text, at) {
  let end = at;
  while (text[end] === text[at]) end += 1;
  return end - at;
}

/** Where a run of exactly this mark begins, or -1. */
function findRun(text, mark, start) {
  for (let at = text.indexOf(mark, start); at >= 0; at = text.indexOf(mark, at)) {
    const run = runLength(text, at);
    if (run === mark.length) return at;
    at += run;
  }
  return -1;
}

/** Behind the code that begins here, or, if nothing closes it, behind its mark. */
function afterCode(text, at, unclosed) {
  const run = runLength(text, at);
  const mark = "`".repeat(run);
  const end = unclosed.has(mark) ? -1 : findRun(text, mark, at + run);
  if (end < 0) unclosed.add(mark);
  return end < 0 ? at + run : end + run;
}
