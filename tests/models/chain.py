"""A language model that follows a script: a table says which token follows which.

Its hidden state is the last token alone, so the prompt's last one decides the answer, and the chat
template chooses that: by what the user says, by whether a tool has answered, and by how many of the
user's messages there are. So an answer shows what of a conversation has reached the model, and real
servers have real work with it: they tokenize, fill their context, parse calls of tools, sample.

Imported by scripts in the servers' own environments: it needs nothing but Python.
"""

from __future__ import annotations

from typing import Final

END: Final = "<|im_end|>"
START: Final = "<|im_start|>"
#: Single bytes of a character, so that servers have one in several tokens.
_SMILE: Final = ["ð", "Ł", "Ļ", "Ĥ"]
_CYCLE: Final = [f" word{number}" for number in range(8)]
_ORDINALS: Final = ("First", "Second", "Third", "Fourth", "Later")
#: What the model says, by the token at the prompt's end. No token may have two successors.
_SCRIPTS: Final[dict[str, list[str]]] = {
    **{
        f"<|answer{number}|>": [ordinal, " answer.", " ", *_SMILE, END]
        for number, ordinal in enumerate(_ORDINALS)
    },
    "<|result|>": ["The", " sum", " is", " 42", END],
    "<|call|>": [
        *("<tool_call>", "\n{", '"name": "add"', ', "arguments": ', '{"a": 20', ', "b": 22}}'),
        *("\n</tool_call>", END),
    ],
    "<|endless|>": [*_CYCLE, _CYCLE[0]],
}
#: The user's words for it.
CALL: Final = "add"
ENDLESS: Final = "endless"

TEMPLATE: Final = """\
{%- if tools %}
{{- '<|im_start|>system\\nYou may call functions. Their signatures:\\n<tools>' }}
{%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}
{{- '\\n</tools>\\nReturn each call as a JSON object with its name and arguments within ' }}
{{- '<tool_call></tool_call> tags:\\n<tool_call>\\n{"name": <function-name>, ' }}
{{- '"arguments": <args-json-object>}\\n</tool_call><|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(users=0) %}
{%- for message in messages %}
{%- if message.role == 'assistant' %}
{{- '<|im_start|>assistant\\n' }}
{%- if message.content %}{{- message.content }}{%- endif %}
{%- if message.tool_calls %}
{%- for call in message.tool_calls %}
{%- if call.function %}{%- set call = call.function %}{%- endif %}
{{- '<tool_call>\\n{"name": "' + call.name + '", "arguments": ' }}
{%- if call.arguments is string %}{{- call.arguments }}
{%- else %}{{- call.arguments | tojson }}{%- endif %}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{%- endif %}
{{- '<|im_end|>\\n' }}
{%- elif message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content }}
{{- '\\n</tool_response><|im_end|>\\n' }}
{%- else %}
{%- if message.role == 'user' %}{%- set ns.users = ns.users + 1 %}{%- endif %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- set last = messages[-1] %}
{%- if last.role == 'tool' %}{{- '<|result|>' }}
{%- elif 'endless' in last.content %}{{- '<|endless|>' }}
{%- elif tools and 'add' in last.content %}{{- '<|call|>' }}
{%- elif ns.users <= 1 %}{{- '<|answer0|>' }}
{%- elif ns.users == 2 %}{{- '<|answer1|>' }}
{%- elif ns.users == 3 %}{{- '<|answer2|>' }}
{%- elif ns.users == 4 %}{{- '<|answer3|>' }}
{%- else %}{{- '<|answer4|>' }}
{%- endif %}
{%- endif %}
"""


def answer(number: int) -> str:
    """What the model says to a user's message, the first being 0."""
    return f"{_ORDINALS[min(number, len(_ORDINALS) - 1)]} answer. 🙂"


#: What the model says once its tool has answered.
SUM: Final = "The sum is 42"


def _byte_characters() -> list[str]:
    """The characters that stand for the 256 bytes in GPT-2's tokenizer, by byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    characters = {byte: chr(byte) for byte in plain}
    characters |= {byte: chr(256 + number) for number, byte in enumerate(others)}
    return [characters[byte] for byte in range(256)]


BYTES: Final = _byte_characters()
#: One merge, since no merges at all are no tokenizer to some.
MERGE: Final = ("t", "h")
#: Tokens that never stand in a text by themselves.
CONTROL: Final = [END, START, *_SCRIPTS]
#: Tokens that are found in texts as they are.
WORDS: Final = list(
    dict.fromkeys(
        token
        for script in _SCRIPTS.values()
        for token in script
        if token != END and token not in _SMILE and token != " "
    )
)
#: Tokens that nobody says, as many as real models have: they give each answer a real model's pace.
UNUSED: Final = [f"<|unused{number}|>" for number in range(32_000)]
TOKENS: Final = [*BYTES, "".join(MERGE), *CONTROL, *WORDS, *UNUSED]
#: As many numbers as a hidden state has: heads of 64, as all servers take them.
WIDTH: Final = 512


def successors() -> dict[int, int]:
    """Which token follows which, by their numbers."""
    space = BYTES[ord(" ")]
    found: dict[int, int] = {}
    for name, script in _SCRIPTS.items():
        for token, following in zip([name, *script], script):
            one, two = (TOKENS.index(space if t == " " else t) for t in (token, following))
            if found.setdefault(one, two) != two:
                raise ValueError(f"two tokens follow {token!r}")
    return found
