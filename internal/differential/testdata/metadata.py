"""Reads the metadata of stored data in order of its keys."""

from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    names = []
    for execution in plan_input.task_executions:
        metadata = execution.result.external_data.metadata
        for key in sorted(metadata):
            names.append("%s=%s" % (key, metadata[key]))
        names.append(metadata.get("owner", "nobody"))
        names.append("%d keys" % len(metadata))
        if "size" in metadata:
            names.append("sized")
    return PlanResult(next_task_names = names)
