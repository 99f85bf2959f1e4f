"""Takes names apart and puts them together."""

from agentic_common.pb import PlanInput, PlanResult


def plan(plan_input: PlanInput) -> PlanResult:
    names = []
    for execution in plan_input.task_executions:
        name = execution.header.name
        parts = name.split("_")
        names.append("-".join(parts))
        names.append(name.upper())
        names.append(name.lower().replace("a", "[a]", 2))
        names.append(name.strip("x_ "))
        names.append(name.partition("_")[2])
        names.append(name.rpartition("_")[0])
        names.append("%d %d" % (name.find("_"), name.rfind("_")))
        names.append("%d" % name.count("a"))
        if name.startswith("fetch") or name.endswith(("page", "text")):
            names.append("fetched")
        if name.isalpha() or name.isdigit():
            names.append("plain")
    return PlanResult(next_task_names = names)
