"""Reads fields of Structs."""

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    names = []
    for execution in plan_input.task_executions:
        data = execution.result.inline_data
        if not data.Is(Struct.DESCRIPTOR):
            continue
        content = Struct()
        data.Unpack(content)
        fields = MessageToDict(content)
        for key in sorted(fields):
            value = fields[key]
            if isinstance(value, str):
                names.append("%s=%s" % (key, value))
            elif isinstance(value, bool):
                names.append("%s is %s" % (key, value))
            elif isinstance(value, float):
                names.append("%s~%d" % (key, int(value * 8)))
            elif isinstance(value, list):
                names.append("%s has %d" % (key, len(value)))
            elif isinstance(value, dict):
                names.append("%s holds %s" % (key, ",".join(sorted(value))))
            else:
                names.append(key + " empty")
    return PlanResult(next_task_names=names)
