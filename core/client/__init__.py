"""The client: start, talk to, watch and manage orchestrations (RT-19).

`client` is what most callers use; `management_client` inspects, deletes and prunes; `checked_calls` checks
the arguments of both. May import the contract, the program and hosting.
"""

from holdfast.core.client.client import (
    Client,
    Completed,
    Descriptor,
    Failed,
    NotFound,
    OrchestrationStatus,
    Running,
)

__all__ = ["Client", "Completed", "Descriptor", "Failed", "NotFound", "OrchestrationStatus", "Running"]
