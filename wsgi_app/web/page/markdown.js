// Markdown as agents write it, to DOM nodes. Text goes in as text: HTML in it is shown, not run,
// links lead to http, https and mail addresses alone, and images are links, so that nothing is
// fetched. Every search is bounded, so that no text makes the page hang.

import { inline } from "./inline.js";
import { element } from "./dom.js";

const MAX_DEPTH = 8; // of lists and quotes within each other; deeper ones are text
const FENCE = /^ {0,3}(`{3,}|~{3,})[ \t]*([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]|$)/;
const RULE = /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])(?:([ \t]+)|$)/;
const DELIMITER_ROW = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

/**
 * The blocks of a text: each has its first line's number, and `make(isOpen)`, which gives its
 * node; `isOpen` says that its text is still to go on.
 */
export function parseBlocks(lines, depth = 0) {
  const blocks = [];
  for (let at = 0; at < lines.length; ) {
    if (lines[at].trim() === "") {
      at += 1;
      continue;
    }
    const [end, make] = readBlock(lines, at, depth);
    blocks.push({ line: at, make });
    at = end;
  }
  return blocks;
}

/** Reads one block: the number of the line behind it, and what makes its node. */
function readBlock(lines, at, depth) {
  const line = lines[at];
  if (FENCE.test(line)) return fence(lines, at);
  if (HEADING.test(line)) return [at + 1, (isOpen) => heading(line, isOpen)];
  if (RULE.test(line)) return [at + 1, () => element("hr")];
  if (QUOTE.test(line) && depth < MAX_DEPTH) return quote(lines, at, depth);
  if (ITEM.test(line) && depth < MAX_DEPTH) return list(lines, at, depth);
  if (isTable(lines, at)) return table(lines, at);
  if (line.startsWith("    ")) return indentedCode(lines, at);
  return paragraph(lines, at);
}

function fence(lines, start) {
  const [, mark, info] = FENCE.exec(lines[start]);
  const indent = lines[start].indexOf(mark);
  let end = start + 1;
  while (end < lines.length && !closes(lines[end], mark)) end += 1;
  const body = lines.slice(start + 1, end).map((line) => dropIndent(line, indent));
  return [end + 1, () => codeBlock(body.join("\n"), info.trim().split(/\s/, 1)[0])];
}

function closes(line, mark) {
  const text = line.trim();
  return text.length >= mark.length && text === mark[0].repeat(text.length);
}

function indentedCode(lines, start) {
  let end = start;
  while (end < lines.length && (lines[end].startsWith("    ") || lines[end].trim() === "")) end += 1;
  const body = lines.slice(start, end).map((line) => dropIndent(line, 4));
  return [end, () => codeBlock(body.join("\n").trimEnd(), "")];
}

function codeBlock(text, language) {
  const head = element("div", { class: "code-head" }, element("span", {}, language));
  if (navigator.clipboard) head.append(element("button", { type: "button", class: "copy" }, "Copy"));
  const code = element("pre", { tabindex: "0" }, element("code", {}, text));
  return element("div", { class: "code" }, head, code);
}

/** Two levels down: the page and its messages have headings of their own. */
function heading(line, isOpen) {
  const level = HEADING.exec(line)[1].length;
  const text = line.trim().slice(level).trim();
  const bare = text.replace(/#*$/, "");
  const shown = bare === "" || /[ \t]$/.test(bare) ? bare.trim() : text;
  return element(`h${Math.min(level + 2, 6)}`, {}, ...inline(shown, isOpen));
}

function quote(lines, start, depth) {
  let end = start;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  const body = lines.slice(start, end).map((line) => line.replace(QUOTE, ""));
  return [end, (isOpen) => element("blockquote", {}, ...nodesOf(body, depth, isOpen))];
}

function nodesOf(lines, depth, isOpen) {
  const blocks = parseBlocks(lines, depth + 1);
  return blocks.map((block, index) => block.make(isOpen && index === blocks.length - 1));
}

function list(lines, start, depth) {
  const kind = kindOf(ITEM.exec(lines[start])[2]);
  const items = [];
  let end = start;
  while (end < lines.length) {
    const match = ITEM.exec(lines[end]);
    if (match === null || kindOf(match[2]) !== kind || RULE.test(lines[end])) break;
    const next = endOfItem(lines, end, match);
    items.push(itemLines(lines.slice(end, next), match));
    end = next;
  }
  const marker = ITEM.exec(lines[start])[2];
  return [end, (isOpen) => makeList(kind, marker, items, depth, isOpen)];
}

function kindOf(marker) {
  return marker.length === 1 ? marker : marker.at(-1);
}

/** An item goes on while lines are indented, or follow without an empty line as plain text. */
function endOfItem(lines, start, match) {
  const nestedFrom = Math.min(match[0].length, match[1].length + 2);
  let end = start + 1;
  for (let at = start + 1; at < lines.length; at += 1) {
    const line = lines[at];
    if (line.trim() === "") continue;
    const isLazy = at === end && !startsBlock(line);
    if (indentOf(line) < nestedFrom && !isLazy) break;
    end = at + 1;
  }
  // Empty lines before a further item belong to the list, those at its end to nobody.
  let next = end;
  while (next < lines.length && lines[next].trim() === "") next += 1;
  return next < lines.length && ITEM.test(lines[next]) ? next : end;
}

function itemLines(lines, match) {
  const spaces = match[3] ?? "";
  const marker = match[1].length + match[2].length;
  const width = marker + (spaces.length > 4 ? 1 : Math.max(spaces.length, 1));
  return [lines[0].slice(width), ...lines.slice(1).map((line) => dropIndent(line, width))];
}

function makeList(kind, firstMarker, items, depth, isOpen) {
  const isOrdered = kind === "." || kind === ")";
  const first = Number.parseInt(firstMarker, 10);
  const attributes = isOrdered && first !== 1 ? { start: String(first) } : {};
  const nodes = items.map((lines, index) =>
    listItem(lines, depth, isOpen && index === items.length - 1),
  );
  return element(isOrdered ? "ol" : "ul", attributes, ...nodes);
}

function listItem(lines, depth, isOpen) {
  const text = lines[0].replace(/^\[([ xX])\][ \t]/, (_, mark) => (mark === " " ? "☐ " : "☑ "));
  const [first, ...others] = nodesOf([text, ...lines.slice(1)], depth, isOpen);
  const lead = first?.nodeName === "P" ? [...first.childNodes] : first ? [first] : [];
  return element("li", {}, ...lead, ...others);
}

function isTable(lines, at) {
  if (!lines[at].includes("|") || at + 1 >= lines.length) return false;
  const next = lines[at + 1];
  return (
    next.includes("-") &&
    DELIMITER_ROW.test(next) &&
    cells(lines[at]).length === cells(next).length
  );
}

function table(lines, start) {
  let end = start + 2;
  while (end < lines.length && lines[end].includes("|") && lines[end].trim() !== "") end += 1;
  return [end, () => makeTable(lines.slice(start, end))];
}

function makeTable([head, delimiters, ...body]) {
  const sides = cells(delimiters).map(sideOf);
  const row = (line, tag) => {
    const texts = cells(line);
    const made = sides.map((side, column) =>
      element(tag, side ? { class: side } : {}, ...inline(texts[column] ?? "")),
    );
    return element("tr", {}, ...made);
  };
  const rows = body.map((line) => row(line, "td"));
  const top = element("thead", {}, row(head, "th"));
  const whole = element("table", {}, top, element("tbody", {}, ...rows));
  return element("div", { class: "table", tabindex: "0", role: "group", "aria-label": "Table" }, whole);
}

function sideOf(delimiter) {
  if (!delimiter.endsWith(":")) return "";
  return delimiter.startsWith(":") ? "center" : "right";
}

/** The cells of a row; a pipe behind a backslash is none's end. */
function cells(line) {
  const text = line.trim().replace(/^\|/, "");
  const found = text.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
  if (found.length > 1 && found.at(-1) === "") found.pop();
  return found;
}

function paragraph(lines, start) {
  let end = start + 1;
  while (end < lines.length && lines[end].trim() !== "" && !interrupts(lines, end)) end += 1;
  const text = lines.slice(start, end).map((line) => line.trimStart());
  return [end, (isOpen) => element("p", {}, ...inline(text.join("\n").trimEnd(), isOpen))];
}

function interrupts(lines, at) {
  const item = ITEM.exec(lines[at]);
  if (item !== null) {
    const isEmpty = item[0].length === lines[at].length;
    return !isEmpty && (item[2].length === 1 || Number.parseInt(item[2], 10) === 1);
  }
  return startsBlock(lines[at]) || isTable(lines, at);
}

function startsBlock(line) {
  return [FENCE, HEADING, RULE, QUOTE, ITEM].some((pattern) => pattern.test(line));
}

function indentOf(line) {
  return /^ */.exec(line.replaceAll("\t", "    "))[0].length;
}

function dropIndent(line, width) {
  const text = line.startsWith("\t") ? line.replace("\t", "    ") : line;
  return text.slice(Math.min(width, /^ */.exec(text)[0].length));
}
