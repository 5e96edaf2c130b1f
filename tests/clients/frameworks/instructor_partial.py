"""instructor: an object that fills up as the host's JSON comes.

With OpenAI's synchronous client it gives all steps at the end, as a list; so the other one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

import instructor
from openai import AsyncOpenAI
from pydantic import BaseModel
from saying import AsyncSay, run_async


class Word(BaseModel):
    """What the host is to answer."""

    text: str


def begin(url: str, key: str) -> AsyncSay:
    """A conversation whose messages this script keeps."""
    plain = AsyncOpenAI(base_url=f"{url}/agents/v1", api_key=key)
    client = instructor.from_openai(plain, mode=instructor.Mode.JSON)
    messages: list[dict[str, str]] = []

    async def say(message: str) -> AsyncGenerator[str]:
        messages.append({"role": "user", "content": message})
        known = ""
        parts = client.chat.completions.create_partial(
            model="agent", response_model=Word, messages=[*messages]
        )
        async for part in parts:
            text = part.text or ""
            yield text[len(known) :]
            known = text
        messages.append({"role": "assistant", "content": known})

    return say


run_async(begin)
