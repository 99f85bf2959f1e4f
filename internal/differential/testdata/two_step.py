"""The example of the executors-py documentation."""

from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    try:
        task_executions = plan_input.task_executions
        if not task_executions:
            return PlanResult(error_message="No task executions provided")
        first_task = task_executions[0]
        task_name = first_task.header.name if first_task.header else "unknown"
        task_result = first_task.result
        if task_result and task_result.error_message:
            return PlanResult(error_message=f"Task {task_name} failed: {task_result.error_message}")
        upstream_results = []
        for task_exec in task_executions:
            if task_exec.result:
                upstream_results.append(task_exec.result)
        next_tasks = ["next_task_1", "next_task_2"]
        return PlanResult(
            upstream_tasks_results=upstream_results,
            next_task_names=next_tasks,
            error_message="",
        )
    except Exception as e:
        return PlanResult(error_message=str(e))
