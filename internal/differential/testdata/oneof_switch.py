"""Sets the members of a oneof in turn."""

from agentic_common.pb import PlanInput, PlanResult, TaskResult


def plan(plan_input: PlanInput) -> PlanResult:
    result = PlanResult()
    for execution in plan_input.task_executions:
        task = TaskResult(id = "switch")
        task.external_data.uri = "s3://first"
        task.inline_data.CopyFrom(execution.result.inline_data)
        result.next_task_names.append(task.WhichOneof("data"))
        if execution.header.attempt % 2:
            task.external_data.uri = "s3://second"
            result.next_task_names.append(task.WhichOneof("data"))
        result.upstream_tasks_results.append(task)
        cleared = TaskResult()
        cleared.CopyFrom(task)
        cleared.ClearField("external_data")
        result.next_task_names.append("set" if cleared.WhichOneof("data") else "not set")
        result.upstream_tasks_results.append(cleared)
    return result
