"""Takes executions by index and slice."""

from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    executions = plan_input.task_executions
    if not executions:
        return PlanResult(next_task_names = ["none"])
    names = [executions[-1].header.name, executions[0].header.name]
    names.extend([e.header.name for e in executions[:2]])
    names.extend([e.header.name for e in executions[1:-1]])
    names.extend([e.header.name for e in executions[::2]])
    names.extend([e.header.name for e in reversed(executions)])
    return PlanResult(next_task_names = names)
