"""Which of a device's errors its context does not survive. Pure, standard library only; asked by `engine.device` and `engine.local`.

Most errors are one request's own. After these "the process is in an inconsistent state and any further CUDA work will return the same error; to continue
using CUDA, the process must be terminated and relaunched" (CUDA Runtime API, ``cudaError_t``). Their texts are those of ``cudaGetErrorString``, which
torch repeats; ROCm's are the same behind "HIP error".
"""

from __future__ import annotations

#: cudaErrorIllegalAddress, …Assert, …LaunchFailure, …MisalignedAddress, …IllegalInstruction, …InvalidPc, …InvalidAddressSpace, …HardwareStackError,
#: …LaunchTimeout, …ECCUncorrectable, …NvlinkUncorrectable, …ContextIsDestroyed, and a device that has gone altogether.
STICKY = (
    "an illegal memory access was encountered",
    "device-side assert triggered",
    "unspecified launch failure",
    "misaligned address",
    "an illegal instruction was encountered",
    "invalid program counter",
    "operation not supported on global/shared address space",
    "hardware stack error",
    "the launch timed out and was terminated",
    "uncorrectable ECC error encountered",
    "uncorrectable NVLink error detected",
    "context is destroyed",
    "GPU is lost",
    "no longer available",
)


def context_lost(error: BaseException) -> bool:
    """Whether this process cannot compute on its device any more."""
    said = str(error)
    return any(vendor in said for vendor in ("CUDA error", "HIP error", "CUDA driver error")) and any(sign in said for sign in STICKY)
