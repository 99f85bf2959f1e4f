"""Routes by a number in the metadata, which may be no number."""

from agentic_common.pb import PlanInput, PlanResult


LIMIT = 1000


def plan(plan_input: PlanInput) -> PlanResult:
    total = 0
    for execution in plan_input.task_executions:
        size = execution.result.external_data.metadata.get("size", "0")
        if not size.isdigit():
            raise ValueError("size: " + size)
        total += int(size)
    return PlanResult(next_task_names=["read_in_parts" if total > LIMIT else "read", "total_%d" % total])
