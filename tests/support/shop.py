"""The example monolith on gunicorn, and customers who are logged in to it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import requests

from tests.support.processes import ROOT, clean_environment, temporary_folder
from tests.support.servers import Gunicorn, gunicorn
from tests.support.sse import Stream, open_stream

FOLDER = ROOT / "examples" / "monolith"
REQUEST_SECONDS = 10

# One connection: whatever keeps it while it waits makes the next page fail after two seconds.
ONE_CONNECTION = {
    "SHOP_SQLALCHEMY_ENGINE_OPTIONS__pool_size": "1",
    "SHOP_SQLALCHEMY_ENGINE_OPTIONS__max_overflow": "0",
    "SHOP_SQLALCHEMY_ENGINE_OPTIONS__pool_timeout": "2",
}


@contextmanager
def shop(env: Mapping[str, str] | None = None) -> Iterator[Gunicorn]:
    """Run the shop with a filled database and 32 threads."""
    with temporary_folder() as folder:
        database = {"SHOP_SQLALCHEMY_DATABASE_URI": f"sqlite:///{folder}/shop.db"}
        env = {**database, **(env or {})}
        command = [sys.executable, "-m", "flask", "--app", "shop", "fill-database"]
        subprocess.run(command, cwd=FOLDER, env=clean_environment(env), check=True, timeout=60)
        with gunicorn("shop:create_app()", threads=32, cwd=FOLDER, env=env) as server:
            yield server


class Customer:
    """A browser with cookies. May send from several threads once it is logged in."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self._cookies = requests.Session()
        page = self._cookies.get(f"{url}/login", timeout=REQUEST_SECONDS).text
        assert "Your orders" in self.post_form("/login", page, name=name, password=name).text

    def get(self, path: str) -> requests.Response:
        """Read a page or an answer of the host."""
        cookies = self._cookies.cookies.copy()
        return requests.get(f"{self.url}{path}", cookies=cookies, timeout=REQUEST_SECONDS)

    def post_form(self, path: str, page: str, **fields: str) -> requests.Response:
        """Send the form of a page, with the token that stands in it."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)
        assert token is not None, page
        fields["csrf_token"] = token[1]
        return self._cookies.post(f"{self.url}{path}", data=fields, timeout=REQUEST_SECONDS)

    @property
    def headers(self) -> dict[str, str]:
        """What the browser sends along."""
        pairs = self._cookies.cookies.items()
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in pairs)}

    def ask(self, session_id: str, message: str) -> Stream:
        """Ask the shop's agent."""
        url = f"{self.url}/agents/chat/{session_id}"
        return open_stream("POST", url, json={"message": message}, headers=self.headers)

    def post_json(self, path: str, body: object, **headers: str) -> requests.Response:
        """Send JSON to the host."""
        headers = {**self.headers, **headers}
        url = f"{self.url}{path}"
        return requests.post(url, json=body, headers=headers, timeout=REQUEST_SECONDS)
