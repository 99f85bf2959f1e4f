"""Compares results with each other."""

from agentic_common.pb import PlanInput, PlanResult, TaskResult


def plan(plan_input: PlanInput) -> PlanResult:
    executions = plan_input.task_executions
    equal = 0
    for a in executions:
        for b in executions:
            if a.result == b.result:
                equal += 1
            if a.header != b.header:
                equal += 1000
    empty = len([e for e in executions if e.result == TaskResult()])
    return PlanResult(next_task_names = ["%d" % equal, "%d" % empty])
