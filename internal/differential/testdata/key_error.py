"""Looks tasks up; an unknown one fails."""

from agentic_common.pb import PlanInput, PlanResult


NEXT = {
    "": "unnamed",
    "fetch_page": "read_page",
    "classify": "route",
    "a": "b",
}

def plan(plan_input: PlanInput) -> PlanResult:
    return PlanResult(next_task_names = [NEXT[e.header.name] for e in plan_input.task_executions])
