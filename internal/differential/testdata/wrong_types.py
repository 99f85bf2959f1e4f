"""Gives values of wrong types, where the input says so."""

from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    result = PlanResult()
    for execution in plan_input.task_executions:
        attempt = execution.header.attempt
        if attempt == 3:
            result.next_task_names.append(attempt)
        elif attempt == 4:
            result.error_message = attempt
        elif attempt == 5:
            result.upstream_tasks_results.append(execution)
        elif attempt == 1:
            result.no_such_field = 1
        else:
            result.next_task_names.append("fine")
    return result
