"""Reads JSON text in a Value, as the platform packs a dict."""

import json

from google.protobuf.struct_pb2 import Value
from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    names = []
    for execution in plan_input.task_executions:
        data = execution.result.inline_data
        if not data.Is(Value.DESCRIPTOR):
            continue
        value = Value()
        data.Unpack(value)
        if value.WhichOneof("kind") != "string_value":
            names.append("not text")
            continue
        try:
            content = json.loads(value.string_value)
        except ValueError:
            content = None
        if isinstance(content, dict):
            names.append("%s %d" % (content.get("label", "none"), len(content)))
            names.extend(content.get("tools", []))
        else:
            names.append("no object")
    return PlanResult(next_task_names=names)
