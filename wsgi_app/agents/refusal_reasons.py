"""Why a provider refused a request, where another request may do better.

Providers have no common words: OpenAI names a code, llama.cpp a type, most write a sentence. A code
is believed; a sentence only with a status that says that the request was at fault. Nothing of the
provider's text leaves this module.
"""

from __future__ import annotations

import re
from typing import Any, Final

#: The conversation does not fit into the model: a shorter one may.
CONTEXT_FULL: Final = "context_length_exceeded"
#: The provider's filter refused the prompt.
FILTERED: Final = "content_filter"

_CODES: Final = {
    "context_length_exceeded": CONTEXT_FULL,
    "context_window_exceeded": CONTEXT_FULL,
    "context_too_large": CONTEXT_FULL,
    "contextwindowexceedederror": CONTEXT_FULL,
    "exceed_context_size_error": CONTEXT_FULL,
    "model_context_window_exceeded": CONTEXT_FULL,
    "request_too_large": CONTEXT_FULL,
    "string_above_max_length": CONTEXT_FULL,
    "1261": CONTEXT_FULL,
    "content_filter": FILTERED,
    "content_policy_violation": FILTERED,
    "data_inspection_failed": FILTERED,
    "responsibleaipolicyviolation": FILTERED,
    "1301": FILTERED,
}
#: OpenAI, vLLM, SGLang, DeepSeek, OpenRouter, Mistral; llama.cpp, llama-cpp-python, LM Studio;
#: Anthropic; Gemini; xAI; Bedrock; Groq, Cerebras; Kimi; MiniMax; GLM; Qwen; Together, TGI.
_FULL: Final = re.compile(
    r"(maximum|max|available|model'?s?) context (length|size|window)"
    r"|context (length|size|window)[^.]{0,40}exceed|exceeds?[^.]{0,40}context (length|size|window)"
    r"|(greater|longer|larger|more)[^.]{0,40} than[^.]{0,40} context"
    r"|prompt is too long|input is too long|request (is |entity )?too large"
    r"|input token count[^.]{0,40}exceeds|maximum (prompt|input) length"
    r"|prompt token count[^.]{0,40}exceeds|exceeded model token limit"
    r"|reduce the length of (the|your) (messages|prompt|input)"
    r"|prompt exceeds max length|range of input length should be"
    r"|inputs?[^.]{0,20} tokens [^.]{0,40}must (be|have)",
    re.IGNORECASE,
)
_REFUSED: Final = re.compile(
    r"content (management|filter|exists? risk)|content policy|inappropriate content"
    r"|prohibited_content|content exists risk",
    re.IGNORECASE,
)
_BY_WORDS: Final = frozenset({400, 413, 422, 500})
_TOO_LARGE: Final = 413
_MAX_TEXT_CHARS: Final = 4_096


def refusal_reason(status: int, body: Any) -> str | None:
    """The reason for a refusal of this status and body, or error object; None for any other."""
    error = body if isinstance(body, dict) else {}
    inner = error.get("error")
    if isinstance(inner, dict):
        error = inner
    for name in ("code", "type", "status"):
        reason = _CODES.get(str(error.get(name)).lower())
        if reason is not None:
            return reason
    if status == _TOO_LARGE:
        return CONTEXT_FULL
    texts = (error.get("message"), error.get("detail"), inner, body)
    text = next((text for text in texts if isinstance(text, str)), "")[:_MAX_TEXT_CHARS]
    if status not in _BY_WORDS:
        return None
    if _FULL.search(text):
        return CONTEXT_FULL
    return FILTERED if _REFUSED.search(text) else None
