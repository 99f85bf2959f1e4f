"""Writes out every field of every header."""

from agentic_common.pb import PlanInput, PlanResult, TaskResult


def plan(plan_input: PlanInput) -> PlanResult:
    lines = [plan_input.input_id, plan_input.plan_name, plan_input.graph_id, plan_input.lifetime_id]
    for execution in plan_input.task_executions:
        h = execution.header
        lines.append("%s|%s|%s|%s|%s|%d|%d|%s|%d|%s" % (
            h.name,
            h.exec_id,
            h.graph_id,
            h.lifetime_id,
            h.tenant_id,
            h.attempt,
            h.iteration_idx,
            h.created_at,
            h.status,
            h.edge_taken,
        ))
        lines.append(execution.parent_plan_exec_id + "/" + execution.parent_plan_name)
    return PlanResult(upstream_tasks_results = [TaskResult(id = line) for line in lines])
