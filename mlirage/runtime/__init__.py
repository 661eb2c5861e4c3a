"""The Python face of the runtime (runtime/, C11): loads compiled modules and calls their functions.

    run = mlirage.load("model.mlirage", device="local-task", threads=4)
    (y,) = run(x)                 # the function `main`, or the only one
    run["decode"](tokens)         # any function, by name; run.decode works too
    print(run.signatures["main"])

Nothing in here knows the compiler; numpy is the only dependency.
"""

from mlirage.runtime.calls import Call
from mlirage.runtime.device_array import DeviceArray, asdevicearray
from mlirage.runtime.devices import Device, device, driver_names
from mlirage.runtime.host import Module
from mlirage.runtime.loaded_module import LoadedModule, load
from mlirage.runtime.parameters import Parameters
from mlirage.runtime.profiling import Event, Profile
from mlirage.runtime.signature import Argument, Signature

__all__ = [
    "Argument",
    "Call",
    "Device",
    "DeviceArray",
    "Event",
    "LoadedModule",
    "Module",
    "Parameters",
    "Profile",
    "Signature",
    "asdevicearray",
    "device",
    "driver_names",
    "load",
]
