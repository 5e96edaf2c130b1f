// Renders openapi.json. What the document holds becomes text, never markup.

const HTTP_OK = 200;
const content = document.getElementById("content");
const contents = document.getElementById("contents");
const filter = document.getElementById("filter");
const found = document.getElementById("found");
let schemas = {};

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null && child !== ""));
  return node;
}

/** Text in which `these` are code. */
function prose(tag, text, attributes = {}) {
  const parts = text.split("`").map((part, at) => (at % 2 ? element("code", {}, part) : part));
  return element(tag, attributes, ...parts);
}

// -- schemas

const nameOf = (reference) => reference.split("/").at(-1);

function linkTo(name) {
  return element("a", { href: `#schema-${name}` }, element("code", {}, name));
}

/** A schema in a line: its type and its bounds. */
function typeOf(schema) {
  if (schema.$ref) return [linkTo(nameOf(schema.$ref))];
  if (schema.const !== undefined) return [element("code", {}, JSON.stringify(schema.const))];
  if (schema.enum) return joined(schema.enum.map((one) => [element("code", {}, JSON.stringify(one))]), " or ");
  const variants = schema.anyOf ?? schema.oneOf;
  if (variants) return joined(variants.map(typeOf), " or ");
  if (schema.type === "array") return ["array of ", ...typeOf(schema.items ?? {}), ...bounds(schema)];
  if (schema.contentSchema) return ["JSON of ", ...typeOf(schema.contentSchema)];
  return [schema.type ?? "any JSON", ...bounds(schema)];
}

function joined(groups, separator) {
  return groups.flatMap((group, at) => (at ? [separator, ...group] : group));
}

function bounds(schema) {
  const words = {
    format: (value) => value,
    minimum: (value) => `at least ${value}`,
    maximum: (value) => `at most ${value}`,
    minLength: (value) => `${value} characters or more`,
    maxLength: (value) => `up to ${value} characters`,
    minItems: (value) => `${value} or more`,
    maxItems: (value) => `up to ${value}`,
  };
  const told = Object.entries(words).filter(([name]) => schema[name] !== undefined);
  const made = told.length ? [`, ${told.map(([name, word]) => word(schema[name])).join(", ")}`] : [];
  if (schema.pattern) made.push(", matches ", element("code", {}, schema.pattern));
  return made;
}

/** An object's fields as a list; of anything else its type. */
function shape(schema) {
  const parts = (schema.allOf ?? []).map(shape);
  const fields = Object.entries(schema.properties ?? {});
  if (!fields.length) return parts.length ? element("div", {}, ...parts) : element("p", {}, ...typeOf(schema));
  const needed = new Set(schema.required ?? []);
  const list = element("ul", { class: "fields" });
  for (const [name, field] of fields) list.append(fieldItem(name, field, needed.has(name)));
  return parts.length ? element("div", {}, ...parts, list) : list;
}

function fieldItem(name, field, isNeeded) {
  const item = element("li", {}, element("code", {}, name), ": ");
  const isNested = field.properties && !field.$ref;
  item.append(...(isNested ? [shape(field)] : typeOf(field)));
  if (isNeeded) item.append(" ", element("span", { class: "needed" }, "required"));
  const preset = field.default;
  if (preset !== undefined) item.append(" default ", element("code", {}, JSON.stringify(preset)));
  if (field.description) item.append(" — ", prose("span", field.description));
  return item;
}

// -- routes

function routeEntry(path, method, operation) {
  const isSocket = "x-websocket" in operation;
  const shown = isSocket ? "WS" : method.toUpperCase();
  const summary = element(
    "summary",
    {},
    element("span", { class: `method ${shown.toLowerCase()}` }, shown),
    element("span", { class: "path" }, path),
    prose("span", operation.summary, { class: "muted" }),
  );
  const entry = element("details", { class: "entry", id: operation.operationId }, summary);
  entry.dataset.words = `${shown} ${path} ${operation.summary} ${operation.tags.join(" ")}`.toLowerCase();
  if (operation.description) entry.append(prose("p", operation.description));
  entry.append(element("p", { class: "muted" }, loginOf(operation)));
  if (operation.parameters.length) entry.append(heading("Parameters"), parameters(operation.parameters));
  if (operation.requestBody) entry.append(heading(bodyTitle(operation)), ...media(operation.requestBody.content));
  if (isSocket) entry.append(...socket(operation["x-websocket"]));
  entry.append(heading("Answers"), answers(operation.responses));
  return entry;
}

const heading = (text) => element("h3", {}, text);
const bodyTitle = (operation) => (operation.requestBody.required ? "Body" : "Body, which may be missing");

function loginOf(operation) {
  const schemes = operation.security.flatMap((one) => Object.keys(one));
  if (!schemes.length) return "Open to all.";
  return `Login: ${schemes.join(" or ")}; scope: ${Object.values(operation.security[0])[0].join(" and ")}.`;
}

function parameters(list) {
  const items = list.map((one) => {
    const item = fieldItem(one.name, { ...one.schema, description: one.description ?? one.schema.description }, one.required);
    item.append(element("span", { class: "muted" }, ` (${one.in})`));
    return item;
  });
  return element("ul", { class: "fields" }, ...items);
}

function media(content) {
  return Object.entries(content).flatMap(([type, described]) => {
    if (type === "text/event-stream") {
      return [element("p", {}, element("code", {}, type), ", each event:"), shape(described.schema)];
    }
    const named = schemas[nameOf(described.schema.$ref ?? "")];
    const title = element("p", {}, element("code", {}, type), ": ", ...typeOf(described.schema));
    return named ? [title, shape(named)] : [title];
  });
}

function socket(both) {
  return [heading("The client sends"), shape(both.client), heading("The host sends"), shape(both.server)];
}

function answers(responses) {
  const list = element("dl");
  for (const [status, response] of Object.entries(responses)) {
    list.append(element("dt", {}, element("strong", {}, status), " ", prose("span", response.description)));
    const headers = Object.keys(response.headers ?? {});
    const isError = Number(status) >= 400; // its schema is the same everywhere
    const details = isError ? [] : media(response.content ?? {});
    if (headers.length) details.push(element("p", { class: "muted" }, `Headers: ${headers.join(", ")}`));
    if (details.length) list.append(element("dd", {}, ...details));
  }
  return list;
}

function schemaEntry(name, schema) {
  const summary = element("summary", {}, element("span", { class: "path" }, name));
  if (schema.description) summary.append(prose("span", schema.description, { class: "muted" }));
  const entry = element("details", { class: "entry", id: `schema-${name}` }, summary, shape(schema));
  entry.dataset.words = `${name} ${schema.description ?? ""}`.toLowerCase();
  return entry;
}

// -- the page

function section(id, title, entries) {
  contents.firstElementChild.append(element("li", {}, element("a", { href: `#${id}` }, title)));
  return element("section", { id, "aria-labelledby": `${id}-title` }, element("h2", { id: `${id}-title` }, title), ...entries);
}

function show(openapi) {
  document.getElementById("about").replaceWith(prose("p", openapi.info.description, { id: "about" }));
  const server = new URL(openapi.servers[0].url, location.href).href;
  const file = element("a", { href: "openapi.json" }, "openapi.json");
  document.getElementById("server").append("Version ", openapi.info.version, ", at ", element("code", {}, server), "; ", file);
  contents.append(element("ul"));
  schemas = openapi.components.schemas;
  const groups = new Map();
  for (const [path, methods] of Object.entries(openapi.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const entries = groups.get(operation.tags[0]) ?? [];
      groups.set(operation.tags[0], [...entries, routeEntry(path, method, operation)]);
    }
  }
  for (const [title, entries] of groups) content.append(section(`group-${title.toLowerCase().replaceAll(" ", "-")}`, title, entries));
  const types = Object.entries(schemas).map(([name, schema]) => schemaEntry(name, schema));
  content.append(section("schemas", "Schemas", types));
  narrow();
  openTarget();
}

/** Show what matches the filter alone. */
function narrow() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const part of content.children) {
    let shown = 0;
    for (const entry of part.querySelectorAll("details.entry")) {
      entry.hidden = !words.every((word) => entry.dataset.words.includes(word));
      shown += entry.hidden ? 0 : 1;
    }
    part.hidden = shown === 0;
    count += shown;
  }
  found.textContent = words.length ? `${count} found` : "";
}

/** What the address names; its escapes may be none. */
function nameInAddress() {
  const name = location.hash.slice(1);
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

function openTarget() {
  const target = document.getElementById(nameInAddress());
  if (target?.tagName !== "DETAILS") return;
  if (target.hidden) {
    filter.value = "";
    narrow();
  }
  target.open = true;
  target.scrollIntoView();
  target.querySelector("summary").focus();
}

filter.addEventListener("input", narrow);
addEventListener("hashchange", openTarget);
const response = await fetch("openapi.json");
if (response.status === HTTP_OK) show(await response.json());
else content.append(element("p", { role: "alert" }, `openapi.json was answered with ${response.status}.`));
