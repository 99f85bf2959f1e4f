"""Reads numbers out of identifiers; text that is none fails."""

from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    names = []
    for execution in plan_input.task_executions:
        tail = execution.header.exec_id.split("-")[-1]
        names.append("%d" % int(tail, 16))
        names.append("%d" % int(tail))
    return PlanResult(next_task_names = names)
