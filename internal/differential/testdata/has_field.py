"""Tells which sub-messages are set."""

from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    names = []
    for execution in plan_input.task_executions:
        flags = [
            execution.HasField("header"),
            execution.HasField("result"),
            execution.result.HasField("inline_data"),
            execution.result.HasField("external_data"),
        ]
        names.append("".join(["1" if flag else "0" for flag in flags]))
    return PlanResult(next_task_names = names)
