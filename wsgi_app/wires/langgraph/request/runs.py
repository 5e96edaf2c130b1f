"""Runs as clients of the older routes ask for them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Optional, Union

from msgspec import Meta, Struct

from wsgi_app.wires.langgraph.request.commands import AssistantId, ResponseEntry, RunParams

#: What of a graph's run there is none of here; refused, since it would be missed.
_REFUSED: Final = ("webhook", "after_seconds", "interrupt_before", "interrupt_after")
#: The modes that a stream has; others of the protocol bring nothing.
MODES: Final = frozenset({"values", "updates", "messages", "messages-tuple", "custom", "events"})
#: Stands among the modes of a stream that has the namespaces of sub-agents too.
SUBGRAPHS: Final = "subgraphs"
#: What the ids of streams end with that have these, so that who comes back with one gets them.
MODE_MARKS: Final = {"s": SUBGRAPHS, "e": "events"}
_MAX_MODES: Final = 16
Mode = Annotated[str, Meta(max_length=64)]


class ThreadRunBody(Struct):
    """The body of ``POST …/runs``, ``…/runs/stream`` and ``…/runs/wait``."""

    assistant_id: AssistantId
    input: Any = None
    command: Optional[dict[str, Any]] = None
    config: Optional[dict[str, Any]] = None
    context: Optional[dict[str, Any]] = None
    metadata: Optional[dict[str, Any]] = None
    stream_mode: Union[Mode, Annotated[list[Mode], Meta(max_length=_MAX_MODES)]] = "values"
    stream_subgraphs: bool = False
    on_disconnect: Optional[Literal["cancel", "continue"]] = None
    multitask_strategy: Optional[str] = None
    if_not_exists: Optional[Literal["create", "reject"]] = None
    checkpoint: Optional[dict[str, Any]] = None
    checkpoint_id: Optional[str] = None
    webhook: Any = None
    after_seconds: Any = None
    interrupt_before: Any = None
    interrupt_after: Any = None

    @property
    def modes(self) -> frozenset[str]:
        """What the stream has."""
        named = [self.stream_mode] if isinstance(self.stream_mode, str) else self.stream_mode
        modes = frozenset(named) or frozenset({"values"})
        return modes | {SUBGRAPHS} if self.stream_subgraphs else modes - {SUBGRAPHS}

    def unserved(self) -> str | None:
        """A field that asks for what there is none of."""
        return next((name for name in _REFUSED if getattr(self, name)), None)

    def params(self) -> RunParams:
        """The run that is asked for."""
        checkpoint_id = self.checkpoint_id or (self.checkpoint or {}).get("checkpoint_id")
        configurable = (self.config or {}).get("configurable")
        known = configurable if isinstance(configurable, dict) else {}
        forked = {"checkpoint_id": str(checkpoint_id)} if checkpoint_id else {}
        return RunParams(
            assistant_id=self.assistant_id,
            input=self.input,
            config={"configurable": {**(self.context or {}), **known, **forked}},
            metadata=self.metadata,
            multitask_strategy=self.multitask_strategy,
        )

    def answers(self, interrupt_ids: list[str]) -> list[ResponseEntry]:
        """What ``command`` answers of these interrupts; raises ValueError for what it cannot do."""
        command = self.command or {}
        if command.get("update") or command.get("goto"):
            raise ValueError("A command changes no state here")
        if "resume" not in command:
            return []
        resume = command["resume"]
        named = isinstance(resume, dict) and bool(resume) and set(resume) <= set(interrupt_ids)
        if named:
            return [ResponseEntry(interrupt_id, resume[interrupt_id]) for interrupt_id in resume]
        return [ResponseEntry(interrupt_id, resume) for interrupt_id in interrupt_ids]
