"""Commands of the thread protocol: a run to start, an interrupt to answer."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Optional, Union

from msgspec import UNSET, Meta, Struct, UnsetType

#: So many answers come with one command; one question waits at a time.
MAX_ANSWERS: Final = 16
#: It is kept with the run.
AssistantId = Annotated[str, Meta(max_length=256)]
CommandId = Annotated[int, Meta(ge=0)]


class CommandBody(Struct):
    """The body of ``POST …/commands``."""

    id: CommandId
    method: str
    params: dict[str, Any] = {}


class RunParams(Struct):
    """The parameters of ``run.start``."""

    assistant_id: AssistantId
    input: Any = None
    config: Optional[dict[str, Any]] = None
    metadata: Optional[dict[str, Any]] = None
    multitask_strategy: Optional[str] = None
    multitaskStrategy: Optional[str] = None  # noqa: N815 - what older clients send

    @property
    def strategy(self) -> str | None:
        """What becomes of a run that is there."""
        return self.multitask_strategy or self.multitaskStrategy

    @property
    def checkpoint_id(self) -> str | None:
        """Where the run begins, if not at the thread's newest state."""
        configurable = (self.config or {}).get("configurable")
        found = configurable.get("checkpoint_id") if isinstance(configurable, dict) else None
        return str(found) if found else None


class ResponseEntry(Struct):
    """An interrupt's answer."""

    interrupt_id: str
    response: Any = None


class RespondParams(Struct):
    """The parameters of ``input.respond``: one answer, or several."""

    interrupt_id: Union[str, UnsetType] = UNSET
    response: Any = None
    responses: Union[
        Annotated[list[ResponseEntry], Meta(min_length=1, max_length=MAX_ANSWERS)], UnsetType
    ] = UNSET
    update: Any = None
    goto: Any = None

    def entries(self) -> list[ResponseEntry]:
        """The answers; raises ValueError if there are none."""
        if isinstance(self.responses, list):
            return self.responses
        if isinstance(self.interrupt_id, str):
            return [ResponseEntry(self.interrupt_id, self.response)]
        raise ValueError("Expected an interrupt_id, or responses")


class InjectedMessage(Struct):
    """What the user says to a run that continues."""

    content: Annotated[str, Meta(min_length=1)]
    role: Literal["user"] = "user"


class InjectParams(Struct):
    """The parameters of ``input.inject``."""

    message: InjectedMessage


IfBusy = Literal["reject", "enqueue", "interrupt"]
#: What becomes of the run that is there, by the protocol's names.
STRATEGIES: Final[dict[str | None, IfBusy]] = {
    None: "enqueue",
    "enqueue": "enqueue",
    "reject": "reject",
    "interrupt": "interrupt",
    "rollback": "interrupt",
}
