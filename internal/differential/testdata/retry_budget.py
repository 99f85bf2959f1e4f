"""Tries again until the budget is spent."""

from agentic_common.pb import PlanInput, PlanResult, ExecutionStatus


MAX_ATTEMPTS = 3

def plan(plan_input: PlanInput) -> PlanResult:
    again, given_up, done = [], [], []
    for execution in plan_input.task_executions:
        h = execution.header
        failed = h.status == ExecutionStatus.EXECUTION_STATUS_FAILED or execution.result.error_message != ""
        if not failed:
            done.append(execution.result)
        elif h.attempt < MAX_ATTEMPTS:
            again.append(h.name)
        else:
            given_up.append(h.name)
    if given_up:
        return PlanResult(error_message = "given up: " + ", ".join(given_up))
    return PlanResult(upstream_tasks_results = done, next_task_names = again or ["report"])
