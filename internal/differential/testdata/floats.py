"""Reckons with fractions, and rounds down."""

import math
from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    names = []
    for execution in plan_input.task_executions:
        x = execution.header.attempt * 0.37 + execution.header.iteration_idx / 7.0
        names.append("%d %d" % (math.floor(x), math.ceil(x)))
        names.append("%d" % int(math.sqrt(abs(x)) * 1000000))
        names.append("%d" % int(math.fabs(x) // 0.25))
        names.append("small" if x < 1 else "large")
        names.append("%d" % int(float("2.5") * 4))
    return PlanResult(next_task_names=names)
