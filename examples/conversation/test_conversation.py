"""The conversation under simulated crashes: the same orchestration, thousands of times faster."""

import json

from conversation import make_registry
from hypothesis import given, settings

from holdfast.core.client import Completed
from holdfast.testing import FaultBudget, FaultPlan, World, fault_plans, simulated

LINES = ["hello", "it rains", "good night"]


@simulated(schedules=100, faults=FaultBudget(crash=1, lost_answer=1))
async def test_nothing_said_is_forgotten(world: World) -> None:
    world.worker("ann", make_registry)
    world.worker("bob", make_registry)
    await world.client.start_orchestration("chat", "converse", json.dumps(LINES))
    status = await world.finished("chat")
    assert isinstance(status, Completed), status
    assert status.output == "1:hello 2:it rains 3:good night", status.output


@given(fault_plans())
@settings(max_examples=50, deadline=None)
def test_nothing_is_forgotten_under_any_plan(plan: FaultPlan) -> None:
    test_nothing_said_is_forgotten.under(plan)
