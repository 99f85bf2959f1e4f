"""Builds results of its own."""

from agentic_common.pb import PlanInput, PlanResult, TaskResult, StoredData


def plan(plan_input: PlanInput) -> PlanResult:
    result = PlanResult()
    for i, execution in enumerate(plan_input.task_executions):
        stored = StoredData(uri="s3://x/%d" % i, metadata={"task": execution.header.name})
        stored.metadata["turn"] = str(execution.header.iteration_idx)
        task = TaskResult(id=str(i), external_data=stored)
        stored.uri = "changed later"
        if execution.result.HasField("external_data"):
            task.external_data.metadata.update(dict(execution.result.external_data.metadata))
        result.upstream_tasks_results.extend([task])
    return result
