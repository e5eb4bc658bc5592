"""The monitors by the id of their rule. To import a monitor here is to register it.

Their order is that of the ids, which is the order of sessions.md section 27; the model comes last.
"""

# ruff: noqa: F401

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final

from holdfast.core.contract.errors import ConfigurationError
from holdfast.properties.judging.invariants.delivery.inv_01_single_winner import SingleWinner
from holdfast.properties.judging.invariants.delivery.inv_02_one_live_owner import OneLiveOwner
from holdfast.properties.judging.invariants.delivery.inv_03_delivery_to_owner import DeliveryToOwner
from holdfast.properties.judging.invariants.delivery.inv_04_plain_fetch_purity import PlainFetchPurity
from holdfast.properties.judging.invariants.delivery.inv_05_owned_only_never_claims import (
    OwnedOnlyNeverClaims,
)
from holdfast.properties.judging.invariants.delivery.inv_06_fifo_per_eligibility import FifoPerEligibility
from holdfast.properties.judging.invariants.delivery.inv_07_stable_rank import StableRank
from holdfast.properties.judging.invariants.delivery.inv_08_item_exclusivity import ItemExclusivity
from holdfast.properties.judging.invariants.delivery.inv_09_attempt_accounting import AttemptAccounting
from holdfast.properties.judging.invariants.delivery.inv_19_atomic_fetch import AtomicFetch
from holdfast.properties.judging.invariants.delivery.inv_43_claimable_means_claimed import (
    ClaimableMeansClaimed,
)
from holdfast.properties.judging.invariants.delivery.inv_46_no_starvation_at_capacity import (
    NoStarvationAtCapacity,
)
from holdfast.properties.judging.invariants.histories.inv_14_nothing_from_closed_incarnation import (
    NothingFromClosedIncarnation,
)
from holdfast.properties.judging.invariants.histories.inv_15_no_completion_after_close import (
    NoCompletionAfterClose,
)
from holdfast.properties.judging.invariants.histories.inv_16_at_most_one_completion import AtMostOneCompletion
from holdfast.properties.judging.invariants.histories.inv_17_close_accounts_for_everything import (
    CloseAccountsForEverything,
)
from holdfast.properties.judging.invariants.histories.inv_18_atomic_ack import AtomicAck
from holdfast.properties.judging.invariants.histories.inv_31_work_is_never_dropped import WorkIsNeverDropped
from holdfast.properties.judging.invariants.histories.inv_32_carry_over_is_invisible import (
    CarryOverIsInvisible,
)
from holdfast.properties.judging.invariants.histories.inv_33_open_set_from_history import OpenSetFromHistory
from holdfast.properties.judging.invariants.histories.inv_34_replay_stability import ReplayStability
from holdfast.properties.judging.invariants.histories.inv_35_limit_in_program_order import LimitInProgramOrder
from holdfast.properties.judging.invariants.histories.inv_36_isolation import Isolation
from holdfast.properties.judging.invariants.histories.inv_41_sessions_off_means_unchanged import (
    SessionsOffMeansUnchanged,
)
from holdfast.properties.judging.invariants.histories.inv_42_every_activity_ends import EveryActivityEnds
from holdfast.properties.judging.invariants.monitor import Monitor
from holdfast.properties.judging.invariants.reference_model import ReferenceModel
from holdfast.properties.judging.invariants.session_rows.inv_10_no_row_without_open import (
    NoRowWithoutOpenSession,
)
from holdfast.properties.judging.invariants.session_rows.inv_11_no_open_without_row import (
    NoOpenSessionWithoutRow,
)
from holdfast.properties.judging.invariants.session_rows.inv_12_items_refer_to_rows import ItemsReferToRows
from holdfast.properties.judging.invariants.session_rows.inv_13_terminal_emptiness import TerminalEmptiness
from holdfast.properties.judging.invariants.session_rows.inv_20_expiry_never_lowered import ExpiryNeverLowered
from holdfast.properties.judging.invariants.session_rows.inv_21_extension_arithmetic import (
    ExtensionArithmetic,
)
from holdfast.properties.judging.invariants.session_rows.inv_22_only_the_named_worker_acts import (
    OnlyTheNamedWorkerActs,
)
from holdfast.properties.judging.invariants.session_rows.inv_37_fenced_acks import FencedAcks
from holdfast.properties.judging.invariants.session_rows.inv_38_one_time_source import OneTimeSource
from holdfast.properties.judging.invariants.session_rows.inv_39_no_row_of_failed_opens import (
    NoRowOfFailedOpens,
)
from holdfast.properties.judging.invariants.session_rows.inv_40_refused_means_nothing_enqueued import (
    RefusedMeansNothingEnqueued,
)
from holdfast.properties.judging.invariants.session_rows.inv_45_ownership_is_kept import OwnershipIsKept
from holdfast.properties.judging.invariants.session_rows.inv_48_release_takes_effect import ReleaseTakesEffect
from holdfast.properties.judging.invariants.workers.inv_23_loss_leads_to_signal import LossLeadsToSignal
from holdfast.properties.judging.invariants.workers.inv_24_no_signal_without_cause import NoSignalWithoutCause
from holdfast.properties.judging.invariants.workers.inv_25_belief_is_covered import BeliefIsCovered
from holdfast.properties.judging.invariants.workers.inv_26_one_lease_one_renewal import OneLeaseOneRenewal
from holdfast.properties.judging.invariants.workers.inv_27_capacity import Capacity
from holdfast.properties.judging.invariants.workers.inv_28_lease_cover import LeaseCover
from holdfast.properties.judging.invariants.workers.inv_29_idle_release_is_safe import IdleReleaseIsSafe
from holdfast.properties.judging.invariants.workers.inv_30_clean_exit import CleanExit
from holdfast.properties.judging.invariants.workers.inv_44_crash_bound import CrashBound
from holdfast.properties.judging.invariants.workers.inv_47_leases_drain import LeasesDrain
from holdfast.properties.judging.invariants.workers.inv_49_shutdown_ends import ShutdownEnds

_IN_ORDER: Final[tuple[type[Monitor], ...]] = tuple(
    sorted(
        (
            one
            for one in tuple(globals().values())
            if isinstance(one, type) and issubclass(one, Monitor) and one is not Monitor
        ),
        key=lambda monitor: monitor.id,
    )
)


def _by_id(monitors: Iterable[type[Monitor]]) -> dict[str, type[Monitor]]:
    found: dict[str, type[Monitor]] = {}
    for monitor in monitors:
        if monitor.id in found:
            raise ValueError(f"two monitors have the id {monitor.id}: ids are unique")
        found[monitor.id] = monitor
    return found


MONITORS: Final[Mapping[str, type[Monitor]]] = _by_id(_IN_ORDER)
"""Rule id to monitor; each has a `title`."""


def selected(rules: Iterable[str] | None) -> tuple[type[Monitor], ...]:
    """The monitors of these rules, in the order of the specification; all of them for None.

    Raises ConfigurationError for an unknown id, naming similar ones.
    """
    if rules is None:
        return _IN_ORDER
    wanted = dict.fromkeys(rules)
    for rule in wanted:
        if rule not in MONITORS:
            near = ", ".join(get_close_matches(rule, MONITORS)) or ", ".join(MONITORS)
            raise ConfigurationError(f"no monitor for rule {rule!r}; there are {near}")
    return tuple(monitor for monitor in _IN_ORDER if monitor.id in wanted)
