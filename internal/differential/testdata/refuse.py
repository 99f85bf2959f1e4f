"""Fails where a rule is broken."""

from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    if not plan_input.graph_id:
        raise ValueError("no graph")
    for execution in plan_input.task_executions:
        if execution.header.attempt < 0:
            raise ValueError(f"attempt {execution.header.attempt}")
    return PlanResult(next_task_names=[plan_input.graph_id])
