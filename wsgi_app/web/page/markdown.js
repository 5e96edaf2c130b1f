// Markdown as agents write it, to DOM nodes: markdown-it reads it, and its tokens become elements
// here. Text goes in as text: HTML in it is shown, not run, links lead to http, https and mail
// addresses alone, and images are links, so that nothing is fetched.

import MarkdownIt from "./vendor/markdown-it.js";
import { element } from "./dom.js";

const MAX_DEPTH = 20; // of what is within each other; deeper is text
const PROTOCOLS = new Set(["http:", "https:", "mailto:"]);
const SIDES = { "text-align:right": "right", "text-align:center": "center" };

const parser = new MarkdownIt({ html: false, linkify: true, maxNesting: MAX_DEPTH });
parser.linkify.set({ fuzzyLink: false, fuzzyEmail: false });
parser.validateLink = (text) => safeUrl(text) !== null;
// A reference's address may come long after the text, when that is drawn already; a line of dashes
// below a text is a rule to agents.
parser.disable(["reference", "lheading"]);

/**
 * The blocks of a text, each with its first line's number and its node. If the text is still to go
 * on, code and strong text that are open at its end count as closed there.
 */
export function readBlocks(text, isOpen) {
  const blocks = [];
  let open = null; // the tokens of the block that is being read
  for (const token of parser.parse(isOpen ? closed(text) : text, {})) {
    open ??= [];
    open.push(token);
    if (token.level > 0 || token.nesting === 1) continue;
    blocks.push({ line: open[0].map[0], node: nodesOf(open)[0] });
    open = null;
  }
  return blocks;
}

function closed(text) {
  const last = text.slice(text.lastIndexOf("\n\n") + 1);
  if (/^ *(```|~~~)/m.test(last)) return text;
  if (last.split("`").length % 2 === 0) return `${text}\``;
  return last.split("**").length % 2 === 0 && !/(\*|\s)$/.test(last) ? `${text}**` : text;
}

/** The nodes of tokens: those that open and close become one element around what is between. */
function nodesOf(tokens) {
  const inside = [{ opening: null, children: [] }];
  for (const token of tokens) {
    if (token.nesting === 1) inside.push({ opening: token, children: [] });
    else if (token.nesting === 0) inside.at(-1).children.push(...leaf(token));
    else {
      const { opening, children } = inside.pop();
      inside.at(-1).children.push(...wrap(opening, children));
    }
  }
  return inside[0].children;
}

function leaf(token) {
  switch (token.type) {
    case "inline":
      return nodesOf(token.children);
    case "code_inline":
      return [element("code", {}, token.content)];
    case "fence":
    case "code_block":
      return [codeBlock(token.content.trimEnd(), token.info.trim().split(/\s/, 1)[0])];
    case "softbreak":
      return ["\n"];
    case "hardbreak":
    case "hr":
      return [element(token.tag)];
    case "image":
      return [anchor(token.attrGet("src"), [token.content || token.attrGet("src")])];
    default:
      return token.content === "" ? [] : [token.content];
  }
}

function wrap(opening, children) {
  switch (opening.type) {
    case "heading_open": // two levels down: the page and its messages have headings of their own
      return [element(`h${Math.min(Number(opening.tag[1]) + 2, 6)}`, {}, ...children)];
    case "link_open":
      return opening.markup === "linkify" ? bareAddress(children[0]) : [anchor(opening.attrGet("href"), children)];
    case "list_item_open":
      return [element("li", {}, ...withBox(children))];
    case "ordered_list_open":
      return [element("ol", startOf(opening), ...children)];
    case "th_open":
    case "td_open":
      return [element(opening.tag, sideOf(opening), ...children)];
    case "s_open":
      return [element("del", {}, ...children)];
    case "table_open":
      return [table(children)];
    default: // a paragraph of an item whose list has no empty lines is none
      return opening.hidden ? children : [element(opening.tag, {}, ...children)];
  }
}

/** A task's mark as the box that it stands for. */
function withBox([first, ...others]) {
  const holder = first?.nodeName === "P" ? first.firstChild : null;
  const text = typeof first === "string" ? first : (holder?.data ?? "");
  const mark = /^\[([ xX])\] /.exec(text);
  if (mark === null) return first === undefined ? [] : [first, ...others];
  const shown = `${mark[1] === " " ? "☐" : "☑"} ${text.slice(mark[0].length)}`;
  if (holder === null) return [shown, ...others];
  holder.data = shown;
  return [first, ...others];
}

function startOf(opening) {
  const start = opening.attrGet("start");
  return start === null ? {} : { start };
}

function sideOf(opening) {
  const side = SIDES[opening.attrGet("style")];
  return side === undefined ? {} : { class: side };
}

function table(children) {
  const whole = element("table", {}, ...children);
  return element("div", { class: "table", tabindex: "0", role: "group", "aria-label": "Table" }, whole);
}

function codeBlock(text, language) {
  const head = element("div", { class: "code-head" }, element("span", {}, language));
  if (navigator.clipboard) head.append(element("button", { type: "button", class: "copy" }, "Copy"));
  const code = element("pre", { tabindex: "0" }, element("code", {}, text));
  return element("div", { class: "code" }, head, code);
}

function anchor(text, children) {
  const url = safeUrl(text);
  const attributes = { href: url, title: url, target: "_blank", rel: "noopener noreferrer" };
  return element("a", attributes, ...(children.length > 0 ? children : [url]));
}

/** Punctuation behind an address is the sentence's. */
function bareAddress(text) {
  const tail = /[.,;:!?]*$/.exec(text)[0];
  const address = text.slice(0, text.length - tail.length);
  return tail === "" ? [anchor(address, [address])] : [anchor(address, [address]), tail];
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
