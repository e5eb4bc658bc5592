"""What programs without sessions leave behind: one program's histories and items, moments of time as 0.

The forms are those that the reference implementation writes without its sessions (runtime.md 2.3 and 3.4),
for the program of `history_unchanged_without_sessions`.
"""

from __future__ import annotations

from typing import Final

EVENTS: Final = (
    '{"event_id":1,"source_event_id":null,"instance_id":"i","execution_id":1,"timestamp_ms":0,'
    '"duroxide_version":"0.1.32","type":"OrchestrationStarted","name":"_without_sessions",'
    '"version":"1.0.0","input":"hello","parent_instance":null,"parent_id":null}',
    '{"event_id":2,"source_event_id":null,"instance_id":"i","execution_id":1,"timestamp_ms":0,'
    '"duroxide_version":"0.1.32","type":"ActivityScheduled","name":"shout","input":"hello"}',
    '{"event_id":3,"source_event_id":2,"instance_id":"i","execution_id":1,"timestamp_ms":0,'
    '"duroxide_version":"0.1.32","type":"ActivityCompleted","result":"HELLO"}',
    '{"event_id":4,"source_event_id":null,"instance_id":"i","execution_id":1,"timestamp_ms":0,'
    '"duroxide_version":"0.1.32","type":"SubOrchestrationScheduled","name":"_child",'
    '"instance":"sub::4","input":"HELLO"}',
    '{"event_id":5,"source_event_id":4,"instance_id":"i","execution_id":1,"timestamp_ms":0,'
    '"duroxide_version":"0.1.32","type":"SubOrchestrationCompleted","result":"HELLO!"}',
    '{"event_id":6,"source_event_id":null,"instance_id":"i","execution_id":1,"timestamp_ms":0,'
    '"duroxide_version":"0.1.32","type":"TimerCreated","fire_at_ms":0}',
    '{"event_id":7,"source_event_id":6,"instance_id":"i","execution_id":1,"timestamp_ms":0,'
    '"duroxide_version":"0.1.32","type":"TimerFired","fire_at_ms":0}',
    '{"event_id":8,"source_event_id":null,"instance_id":"i","execution_id":1,"timestamp_ms":0,'
    '"duroxide_version":"0.1.32","type":"ExternalSubscribed","name":"sent"}',
    '{"event_id":9,"source_event_id":null,"instance_id":"i","execution_id":1,"timestamp_ms":0,'
    '"duroxide_version":"0.1.32","type":"ExternalEvent","name":"sent","data":"?"}',
    '{"event_id":10,"source_event_id":null,"instance_id":"i","execution_id":1,"timestamp_ms":0,'
    '"duroxide_version":"0.1.32","type":"ActivityScheduled","name":"fail","input":"HELLO!?"}',
    '{"event_id":11,"source_event_id":10,"instance_id":"i","execution_id":1,"timestamp_ms":0,'
    '"duroxide_version":"0.1.32","type":"ActivityFailed",'
    '"details":{"Application":{"kind":"ActivityFailed","message":"HELLO!?","retryable":false}}}',
    '{"event_id":12,"source_event_id":null,"instance_id":"i","execution_id":1,"timestamp_ms":0,'
    '"duroxide_version":"0.1.32","type":"OrchestrationContinuedAsNew","input":"again"}',
    '{"event_id":1,"source_event_id":null,"instance_id":"i","execution_id":2,"timestamp_ms":0,'
    '"duroxide_version":"0.1.32","type":"OrchestrationStarted","name":"_without_sessions",'
    '"version":"1.0.0","input":"again","parent_instance":null,"parent_id":null}',
    '{"event_id":2,"source_event_id":null,"instance_id":"i","execution_id":2,"timestamp_ms":0,'
    '"duroxide_version":"0.1.32","type":"CustomStatusUpdated","status":"second"}',
    '{"event_id":3,"source_event_id":null,"instance_id":"i","execution_id":2,"timestamp_ms":0,'
    '"duroxide_version":"0.1.32","type":"ActivityScheduled","name":"shout","input":"again"}',
    '{"event_id":4,"source_event_id":3,"instance_id":"i","execution_id":2,"timestamp_ms":0,'
    '"duroxide_version":"0.1.32","type":"ActivityCompleted","result":"AGAIN"}',
    '{"event_id":5,"source_event_id":null,"instance_id":"i","execution_id":2,"timestamp_ms":0,'
    '"duroxide_version":"0.1.32","type":"OrchestrationCompleted","output":"AGAIN"}',
    '{"event_id":1,"source_event_id":null,"instance_id":"i::sub::4","execution_id":1,'
    '"timestamp_ms":0,"duroxide_version":"0.1.32","type":"OrchestrationStarted","name":"_child",'
    '"version":"1.0.0","input":"HELLO","parent_instance":"i","parent_id":4,"parent_execution_id":1}',
    '{"event_id":2,"source_event_id":null,"instance_id":"i::sub::4","execution_id":1,'
    '"timestamp_ms":0,"duroxide_version":"0.1.32","type":"OrchestrationCompleted",'
    '"output":"HELLO!"}',
)
"""Two executions of instance i, then the one of its child."""

ITEMS: Final = (
    '{"StartOrchestration":{"instance":"i","orchestration":"_without_sessions","input":"hello",'
    '"version":null,"parent_instance":null,"parent_id":null,"execution_id":1}}',
    '{"ActivityExecute":{"instance":"i","execution_id":1,"id":2,"name":"shout","input":"hello"}}',
    '{"ActivityCompleted":{"instance":"i","execution_id":1,"id":2,"result":"HELLO"}}',
    '{"StartOrchestration":{"instance":"i::sub::4","orchestration":"_child","input":"HELLO",'
    '"version":null,"parent_instance":"i","parent_id":4,"parent_execution_id":1,"execution_id":1}}',
    '{"SubOrchCompleted":{"parent_instance":"i","parent_execution_id":1,"parent_id":4,"result":"HELLO!"}}',
    '{"TimerFired":{"instance":"i","execution_id":1,"id":6,"fire_at_ms":0}}',
    '{"ExternalRaised":{"instance":"i","name":"sent","data":"?"}}',
    '{"ActivityExecute":{"instance":"i","execution_id":1,"id":10,"name":"fail","input":"HELLO!?"}}',
    '{"ActivityFailed":{"instance":"i","execution_id":1,"id":10,'
    '"details":{"Application":{"kind":"ActivityFailed","message":"HELLO!?","retryable":false}}}}',
    '{"ContinueAsNew":{"instance":"i","orchestration":"_without_sessions","input":"again",'
    '"version":null,"carry_forward_events":[]}}',
    '{"ActivityExecute":{"instance":"i","execution_id":2,"id":3,"name":"shout","input":"again"}}',
    '{"ActivityCompleted":{"instance":"i","execution_id":2,"id":3,"result":"AGAIN"}}',
)
"""Every message and activity, in the order in which they were enqueued."""
