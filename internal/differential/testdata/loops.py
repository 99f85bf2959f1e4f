"""Breaks, goes on and nests."""

from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    names = []
    for i, execution in enumerate(plan_input.task_executions):
        if execution.header.status == 4:
            break
        if execution.header.status == 2:
            continue
        for j, other in enumerate(plan_input.task_executions):
            if j > i:
                break
            if other.header.name == execution.header.name:
                names.append("%d=%d" % (i, j))
    pairs = zip(names, range(10))
    return PlanResult(next_task_names = ["%s/%d" % (a, b) for a, b in pairs] + [str(x * y) for x in range(3) for y in range(3) if x < y])
