"""Changes the lists of its result."""

from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    result = PlanResult(next_task_names = ["a", "b"])
    names = result.next_task_names
    for execution in plan_input.task_executions:
        names.append(execution.header.name)
        names.insert(1, execution.header.edge_taken)
        if len(names) > 6:
            names.pop()
            names.pop(0)
        if "a" in names:
            names.remove("a")
        names[0] = names[0] + "'"
    result.next_task_names.extend(["%d" % len(names)])
    return result
