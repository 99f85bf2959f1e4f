"""Reads through messages that are not set."""

from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    names = []
    for execution in plan_input.task_executions:
        names.append(execution.header.name or "unnamed")
        names.append("true" if execution.result else "false")
        names.append("true" if execution.result.inline_data else "false")
        names.append(execution.result.external_data.uri or "nowhere")
        names.append("%d" % len(execution.result.external_data.metadata))
        names.append("still unset" if not execution.result.HasField("external_data") else "set")
    return PlanResult(next_task_names = names)
