"""Tells type and size of each payload."""

from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    names = []
    for execution in plan_input.task_executions:
        data = execution.result.inline_data
        names.append("%s %d" % (data.type_url[-60:], len(data.value)))
        names.append(data.TypeName()[-60:])
    return PlanResult(next_task_names = names)
