"""Clears fields of its result."""

from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    result = PlanResult(
        error_message = "gone",
        next_task_names = ["gone"],
        upstream_tasks_results = [e.result for e in plan_input.task_executions],
    )
    result.ClearField("error_message")
    result.ClearField("next_task_names")
    result.next_task_names.append("%d" % len(result.upstream_tasks_results))
    for task in result.upstream_tasks_results:
        if task.error_message:
            task.ClearField("error_message")
        else:
            task.Clear()
    return result
