"""What can go wrong, said by meaning: an exception tree that knows errnos and nothing of HTTP."""

from __future__ import annotations

from socketd.errors.forwards import (
    TooManyForwardsError,
    UnknownForwardError,
)
from socketd.errors.identity import (
    ClosedMeanwhileError,
    DiffersError,
    NameTakenError,
    OutOfDescriptorsError,
    StaleError,
    UnknownDescriptorError,
    UnknownSocketError,
)
from socketd.errors.passing import (
    AlreadyHeldError,
    BusyError,
    NeedsUnixSocketError,
    NotReceivingError,
    PeerStalledError,
)
from socketd.errors.requests import (
    BadStateError,
    InvalidRequestError,
    NotPermittedError,
    QuotaError,
    ResolveError,
    UnauthenticatedError,
    UploadOffsetError,
)
from socketd.errors.root import (
    KernelRefusedError,
    SocketdError,
)
from socketd.errors.storage import (
    NotSavedError,
    UnreadableSpecificationError,
)
from socketd.errors.waits import (
    ClientGoneError,
    ShuttingDownError,
    SlowRequestError,
    TooManyConnectionsError,
    TooManyFollowersError,
    TooManyWaitsError,
    UploadInterruptedError,
    WaitTimeoutError,
    WouldBlockError,
)

__all__ = [
    "AlreadyHeldError",
    "BadStateError",
    "BusyError",
    "ClientGoneError",
    "ClosedMeanwhileError",
    "DiffersError",
    "InvalidRequestError",
    "KernelRefusedError",
    "NameTakenError",
    "NeedsUnixSocketError",
    "NotPermittedError",
    "NotReceivingError",
    "NotSavedError",
    "OutOfDescriptorsError",
    "PeerStalledError",
    "QuotaError",
    "ResolveError",
    "ShuttingDownError",
    "SlowRequestError",
    "SocketdError",
    "StaleError",
    "TooManyConnectionsError",
    "TooManyFollowersError",
    "TooManyForwardsError",
    "TooManyWaitsError",
    "UnauthenticatedError",
    "UnknownDescriptorError",
    "UnknownForwardError",
    "UnknownSocketError",
    "UnreadableSpecificationError",
    "UploadInterruptedError",
    "UploadOffsetError",
    "WaitTimeoutError",
    "WouldBlockError",
]
