"""Takes the second execution; without one it fails."""

from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    second = plan_input.task_executions[1]
    return PlanResult(upstream_tasks_results = [second.result], next_task_names = [second.header.name])
