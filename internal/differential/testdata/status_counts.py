"""Counts the executions of each status."""

from agentic_common.pb import PlanInput, PlanResult, ExecutionStatus


def plan(plan_input: PlanInput) -> PlanResult:
    counts = {}
    for execution in plan_input.task_executions:
        status = execution.header.status
        counts[status] = counts.get(status, 0) + 1
    failed = counts.get(ExecutionStatus.EXECUTION_STATUS_FAILED, 0)
    names = [f"{status}_times_{counts[status]}" for status in sorted(counts)]
    if failed > 1:
        names.append("alarm")
    return PlanResult(next_task_names=names)
