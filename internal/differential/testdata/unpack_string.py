"""Reads texts; a payload that is no StringValue fails."""

from google.protobuf.wrappers_pb2 import StringValue
from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    texts = []
    for execution in plan_input.task_executions:
        data = execution.result.inline_data
        if data.Is(StringValue.DESCRIPTOR):
            text = StringValue()
            data.Unpack(text)
            texts.append(text.value)
    return PlanResult(error_message="; ".join(texts))
