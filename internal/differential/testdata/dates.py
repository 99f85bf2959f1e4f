"""Compares the times of executions; a time that is none fails."""

from datetime import datetime, timedelta, timezone
from agentic_common.pb import PlanInput, PlanResult


EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def plan(plan_input: PlanInput) -> PlanResult:
    names = []
    for execution in plan_input.task_executions:
        at = datetime.strptime(execution.header.created_at, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
        later = at + timedelta(hours=1, minutes=30)
        names.append("%d %d %d" % (at.year, at.month, at.hour))
        names.append("%d" % ((later - EPOCH) // timedelta(seconds=1)))
        names.append(later.strftime("%Y/%m/%d %H:%M"))
    return PlanResult(next_task_names=names)
