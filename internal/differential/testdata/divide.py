"""Divides by the turn; a turn of 0 fails."""

from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    names = []
    for execution in plan_input.task_executions:
        share = execution.header.attempt / execution.header.iteration_idx
        names.append("%d" % int(share * 100))
    return PlanResult(next_task_names = names)
