"""Names each task once, in order of first sight."""

from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    seen = {}
    for execution in plan_input.task_executions:
        seen.setdefault(execution.header.name, []).append(execution.header.attempt)
    names = list(seen.keys())
    for name, attempts in seen.items():
        names.append("%s:%s" % (name, ",".join([str(a) for a in attempts])))
    seen.pop("fetch_page", None)
    unique = len(set([e.header.edge_taken for e in plan_input.task_executions]))
    names.append("%d %d" % (len(seen), unique))
    return PlanResult(next_task_names = names)
