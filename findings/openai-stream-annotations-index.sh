#!/usr/bin/env bash
# chat.completions.stream() of openai-python raises at a second chunk of annotations without index.
#
# Behaviour: a chat completion's chunks may bring `delta.annotations`, the url_citation of a web
# search, whose type in the same package has no field `index`. The helper `stream()` adds chunks up:
# the first list of annotations is taken as it is, a second one ends the stream with
# RuntimeError "Expected list delta entry to have an `index` key", and text that follows is lost.
# One list alone is fine, and create(stream=True) gives all of both.
# A guess would be that lists without an index are joined, or that a field which the package's own
# types describe can be streamed to its own helper.
#
# Seen with openai 2.8.1 and 3.52.0 on Python 3.11, 2026-11-30.
set -eu
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT

cat >"$folder/see.py" <<'PYTHON'
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai

def cited(title):
    place = {"start_index": 0, "end_index": 5, "title": title, "url": "http://localhost/"}
    return {"annotations": [{"type": "url_citation", "url_citation": place}]}

class Provider(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        lists = int(body["messages"][0]["content"])
        deltas = [{"role": "assistant", "content": "Hello"}]
        deltas += [cited(f"source {number}") for number in range(lists)]
        deltas += [{"content": " world"}]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for delta, end in [*((one, None) for one in deltas), ({}, "stop")]:
            choice = {"index": 0, "delta": delta, "finish_reason": end}
            chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
            self.wfile.write(b"data: %s\n\n" % json.dumps({**chunk, "choices": [choice]}).encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.server_port}", api_key="none", max_retries=0)

def by_helper(lists):
    text = ""
    messages = [{"role": "user", "content": str(lists)}]
    try:
        with client.chat.completions.stream(model="m", messages=messages) as stream:
            for event in stream:
                if event.type == "content.delta":
                    text += event.delta
    except RuntimeError as error:
        return text, str(error)[:60]
    return text, "whole"

def by_create(lists):
    messages = [{"role": "user", "content": str(lists)}]
    stream = client.chat.completions.create(model="m", messages=messages, stream=True)
    chunks = [chunk.choices[0].delta for chunk in stream]
    found = [one for chunk in chunks for one in getattr(chunk, "annotations", None) or []]
    return "".join(chunk.content or "" for chunk in chunks), len(found)

print(openai.__version__, "stream():", by_helper(1), by_helper(2), "create():", by_create(2))
assert by_helper(1) == ("Hello world", "whole")
text, told = by_helper(2)
assert text == "Hello" and "index" in told, (text, told)
assert by_create(2) == ("Hello world", 2)
PYTHON

for version in 2.8.1 3.52.0; do
    python3 -m venv "$folder/venv" --clear
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "openai==$version"
    "$folder/venv/bin/python" "$folder/see.py"
done
