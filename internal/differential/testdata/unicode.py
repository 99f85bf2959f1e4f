"""Hands texts on, joined and cut at spaces."""

from agentic_common.pb import PlanInput, PlanResult, TaskResult


def plan(plan_input: PlanInput) -> PlanResult:
    texts = []
    for execution in plan_input.task_executions:
        text = execution.result.error_message
        words = text.split(" ")
        texts.append(words[0])
        texts.append(" ".join(sorted(words)))
        if "é" in text:
            texts.append(text.replace("é", "e"))
    return PlanResult(upstream_tasks_results = [TaskResult(error_message = text) for text in texts])
