// Passes requests on to the host, and its answers back, as they come.

import http from "node:http";
import https from "node:https";
import { pipeline } from "node:stream";

// They are about one connection, and there are two; `host` is the target's.
const NOT_PASSED = new Set(
  ["connection", "expect", "host", "keep-alive", "proxy-connection"].concat(
    ["te", "trailer", "transfer-encoding", "upgrade"],
  ),
);

/** A handler for `app.use(path, …)`: what lies below the path is asked of `target`. */
export function passOn(target) {
  const base = new URL(target);
  const { Agent, request } = base.protocol === "https:" ? https : http;
  // A connection each: gunicorn may close an idle one just when a POST is sent on it.
  const agent = new Agent({ keepAlive: false });
  return (req, res) => {
    // Put together as text: resolved as a URL, a path like //name would lead to another host.
    const path = base.pathname.replace(/\/$/, "") + req.url;
    const headers = requestHeaders(req);
    const upstream = request(base, { agent, method: req.method, path, headers });
    upstream.on("response", (answer) => {
      res.writeHead(answer.statusCode, passed(answer.headers));
      res.flushHeaders();
      // If either side breaks off, so does the other: a cut must not look like an end.
      pipeline(answer, res, () => {});
    });
    upstream.on("error", () => fail(res));
    // The host cancels the turn of a client that has hung up, once it sees so itself.
    res.on("close", () => upstream.destroy());
    req.pipe(upstream);
  };
}

function passed(headers) {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !NOT_PASSED.has(name)));
}

function requestHeaders(req) {
  const hops = [req.headers["x-forwarded-for"], req.socket.remoteAddress];
  return { ...passed(req.headers), "x-forwarded-for": hops.filter(Boolean).join(", ") };
}

function fail(res) {
  if (res.headersSent || res.destroyed) {
    res.destroy();
    return;
  }
  const body = { code: "bad_gateway", message: "The agents cannot be reached.", details: {} };
  res.writeHead(502, { "Content-Type": "application/json", "Retry-After": "1" });
  res.end(JSON.stringify(body));
}
