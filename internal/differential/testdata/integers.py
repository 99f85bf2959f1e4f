"""Reckons with attempts and turns, negative ones too."""

from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    names = []
    total = 1
    for execution in plan_input.task_executions:
        a = execution.header.attempt
        i = execution.header.iteration_idx
        total = total * (abs(a) + 3) + i
        names.append("%d %d %d" % (a // 3, a % 3, a * i))
        names.append("%d %d %d" % (a & 12, a | i, a ^ 5))
        if i:
            names.append("%d %d" % (a // i, a % i))
        names.append("%d" % max(a, i, 0))
    names.append("%d" % (total << 70 >> 60))
    names.append("%x" % total)
    return PlanResult(next_task_names = names)
