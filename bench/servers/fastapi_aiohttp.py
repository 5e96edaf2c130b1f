"""The same with the openai package's faster transport, which the host uses too."""

from __future__ import annotations

from openai import AsyncOpenAI, DefaultAioHttpClient

from bench.servers import fastapi_async

fastapi_async.client = AsyncOpenAI(http_client=DefaultAioHttpClient())
app = fastapi_async.app
