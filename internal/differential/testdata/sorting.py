"""Sorts executions by several keys."""

from agentic_common.pb import PlanInput, PlanResult


def _key(execution):
    return (-execution.header.attempt, execution.header.name, execution.header.exec_id)

def plan(plan_input: PlanInput) -> PlanResult:
    ordered = sorted(plan_input.task_executions, key = _key)
    by_turn = sorted(plan_input.task_executions, key = lambda e: e.header.iteration_idx, reverse = True)
    return PlanResult(
        upstream_tasks_results = [e.result for e in ordered],
        next_task_names = [e.header.exec_id for e in by_turn],
    )
