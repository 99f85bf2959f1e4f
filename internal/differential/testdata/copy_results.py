"""Changes copies; the input stays as it is."""

from agentic_common.pb import PlanInput, PlanResult, TaskResult


def plan(plan_input: PlanInput) -> PlanResult:
    result = PlanResult()
    for execution in plan_input.task_executions:
        copy = TaskResult()
        copy.CopyFrom(execution.result)
        copy.id = "copy of " + copy.id
        copy.error_message = ""
        result.upstream_tasks_results.append(copy)
        result.upstream_tasks_results.append(execution.result)
        copy.id = "too late"
    return result
