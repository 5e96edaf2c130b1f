#!/usr/bin/env bash
# The MCP SDK's client goes on behind its first cut again when a resumed stream is cut too.
#
# Behaviour: a call's stream over HTTP whose events have ids is cut, and the client comes back by
# GET with Last-Event-ID, as the specification has it. If that stream is cut as well, after further
# events, it comes back once more with the id of the first cut, although it has read later ones: a
# server that replays by ids sends what lay between twice, and progress is reported twice. If the
# second stream ends cleanly instead, it comes back with the newest id. A guess would be that the
# cursor moves on with each event, as that of an EventSource does, and that of the SDK for
# TypeScript.
#
# Seen with mcp 1.30.0 and 2.3.0 on Python 3.11, 2026-11-30.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat >"$folder/see.py" <<'PYTHON'
import asyncio, json, socket, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import mcp
from mcp.client import streamable_http

CUT_OFF = sys.argv[1] == "cut"
call = {}
cursors = []

class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, numbers, last):
        """Events of these ids; then the end of the body, or of the connection alone."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in numbers:
            told = {"progressToken": call["params"]["_meta"]["progressToken"], "progress": number, "message": f"{number}"}
            message = {"method": "notifications/progress", "params": told}
            if number == 9:
                message = {"id": call["id"], "result": {"content": []}}
            data = json.dumps({"jsonrpc": "2.0", **message})
            block = f"id: {number}\nretry: 50\nevent: message\ndata: {data}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
        if last == "end":
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "id" not in message:
            return self.answer(202)
        if message["method"] == "tools/call":
            call.update(message)
            return self.stream([1, 2, 3], "cut")
        result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                  "serverInfo": {"name": "s", "version": "1"}, "tools": []}
        self.answer(200, json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode())

    def do_GET(self):
        if "Last-Event-ID" not in self.headers:
            return self.answer(405)
        cursors.append(int(self.headers["Last-Event-ID"]))
        if len(cursors) == 1:
            return self.stream([4, 5, 6], "cut" if CUT_OFF else "end")
        self.stream(range(cursors[-1] + 1, 10), "end")

server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/mcp"
progress = []

async def note(_done, _total, message):
    progress.append(int(message))

async def see():
    connect = getattr(streamable_http, "streamable_http_client", None)
    connect = connect or streamable_http.streamablehttp_client
    async with connect(url) as streams, mcp.ClientSession(*streams[:2]) as session:
        await session.initialize()
        params = {"name": "t", "arguments": {}, "progress_callback": note}
        await session.call_tool(**params)

asyncio.run(see())
print(f"  the resumed stream {'is cut' if CUT_OFF else 'ends'}: came back behind {cursors}, progress {progress}")
exact = list(range(1, 9))
assert cursors == ([3, 3] if CUT_OFF else [3, 6]), cursors
assert (progress == exact) is not CUT_OFF, progress
PYTHON

for version in 1.30.0 2.3.0; do
    python3 -m venv "$folder/venv" --clear
    "$folder/venv/bin/pip" --quiet --disable-pip-version-check install "mcp==$version"
    echo "mcp $version"
    for second in cut end; do
        "$folder/venv/bin/python" "$folder/see.py" $second
    done
done
