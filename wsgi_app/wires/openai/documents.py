"""What the routes of the Responses API answer, for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Literal, Optional, Union

from msgspec import UNSET, Struct, UnsetType

ItemStatus = Literal["in_progress", "completed", "incomplete", "failed"]


class UrlCitation(Struct):
    """Where a file stands that the agent has given, and the link to it in the text."""

    type: Literal["url_citation"]
    url: str
    title: str
    start_index: int
    end_index: int


class OutputText(Struct):
    """A message's text."""

    type: Literal["output_text"]
    text: str
    annotations: list[UrlCitation]
    logprobs: list[Any]


class SummaryText(Struct):
    """A piece of reasoning."""

    type: Literal["summary_text"]
    text: str


class MessageItem(Struct, tag="message"):
    """What the agent says."""

    id: str
    role: Literal["assistant"]
    status: ItemStatus
    content: list[OutputText]


class ReasoningItem(Struct, tag="reasoning"):
    """What the agent thinks, or a tool that the host has run: then with the call, for the host."""

    id: str
    status: ItemStatus
    summary: list[SummaryText]
    encrypted_content: Union[str, UnsetType] = UNSET


class HostCallItem(Struct, tag="mcp_call"):
    """A tool that the host has run, for requests that ask for this form."""

    id: str
    server_label: str
    name: str
    arguments: str
    status: ItemStatus
    output: Union[str, UnsetType] = UNSET
    error: Union[dict[str, Any], UnsetType] = UNSET


class QuestionItem(Struct, tag="function_call"):
    """A question, for the client to answer."""

    id: str
    call_id: str
    name: str
    arguments: str
    status: ItemStatus


OutputItem = Union[MessageItem, ReasoningItem, HostCallItem, QuestionItem]


class ResponseUsage(Struct):
    """Token counts."""

    input_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int


class ResponseDocument(Struct):
    """A response; what its request said, and defaults where it said nothing."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: Optional[int]
    status: Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
    background: bool
    error: Optional[dict[str, str]]
    frequency_penalty: float
    incomplete_details: Optional[dict[str, str]]
    instructions: Optional[str]
    max_output_tokens: Optional[int]
    max_tool_calls: Optional[int]
    metadata: dict[str, Any]
    model: str
    output: list[OutputItem]
    parallel_tool_calls: bool
    presence_penalty: float
    previous_response_id: Optional[str]
    prompt_cache_key: Optional[str]
    reasoning: dict[str, Any]
    safety_identifier: Optional[str]
    service_tier: str
    store: bool
    temperature: float
    text: dict[str, Any]
    tool_choice: Union[str, dict[str, Any]]
    tools: list[Any]
    top_logprobs: int
    top_p: float
    truncation: Literal["auto", "disabled"]
    usage: Optional[ResponseUsage]


class ResponseStreamEvent(Struct):
    """One event of a response's stream; which fields it has follows from its type.

    An ``error`` comes over the WebSocket alone: it refuses a request.
    """

    type: Literal[
        "response.created",
        "response.in_progress",
        "response.completed",
        "response.incomplete",
        "response.failed",
        "response.output_item.added",
        "response.output_item.done",
        "response.content_part.added",
        "response.content_part.done",
        "response.output_text.delta",
        "response.output_text.done",
        "response.output_text.annotation.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.done",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.mcp_call.in_progress",
        "response.mcp_call.completed",
        "response.mcp_call.failed",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "error",
    ]
    sequence_number: Union[int, UnsetType] = UNSET
    status: Union[int, UnsetType] = UNSET
    error: Union[dict[str, Any], UnsetType] = UNSET
    response: Union[ResponseDocument, UnsetType] = UNSET
    output_index: Union[int, UnsetType] = UNSET
    item: Union[OutputItem, UnsetType] = UNSET
    item_id: Union[str, UnsetType] = UNSET
    content_index: Union[int, UnsetType] = UNSET
    summary_index: Union[int, UnsetType] = UNSET
    part: Union[dict[str, Any], UnsetType] = UNSET
    text: Union[str, UnsetType] = UNSET
    delta: Union[str, UnsetType] = UNSET
    annotation_index: Union[int, UnsetType] = UNSET
    annotation: Union[UrlCitation, UnsetType] = UNSET
    logprobs: Union[list[Any], UnsetType] = UNSET
    arguments: Union[str, UnsetType] = UNSET
    name: Union[str, UnsetType] = UNSET


class CompactionItem(Struct, tag="compaction"):
    """A conversation made shorter, for the host alone to read."""

    id: str
    encrypted_content: str


class CompactionDocument(Struct):
    """What to send instead of a conversation."""

    id: str
    object: Literal["response.compaction"]
    created_at: int
    output: list[CompactionItem]
    usage: ResponseUsage


class InputItems(Struct):
    """What a response's request said."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    first_id: Optional[str]
    last_id: Optional[str]
    has_more: bool


class ResponseDeleted(Struct):
    """The conversation is forgotten."""

    id: str
    object: Literal["response"]
    deleted: bool
