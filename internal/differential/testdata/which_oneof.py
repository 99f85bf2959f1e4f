"""Routes by the kind of data."""

from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    names = []
    for execution in plan_input.task_executions:
        kind = execution.result.WhichOneof("data")
        if kind == None:
            names.append("nothing")
        elif kind == "inline_data":
            names.append("read_inline")
        else:
            names.append("fetch")
    return PlanResult(next_task_names = names)
