"""Sums up the bytes of each payload."""

from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    names = []
    for execution in plan_input.task_executions:
        value = execution.result.inline_data.value
        total = 0
        for byte in value:
            total += byte
        names.append("sum_%d" % total)
        if value:
            names.append("first_%d" % value[0])
            names.append("tail_%d" % len(value[-3:]))
    return PlanResult(next_task_names=names)
