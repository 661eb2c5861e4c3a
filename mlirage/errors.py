"""Everything mlirage raises on purpose.

MlirageError
├── UsageError            a wrong argument or option; says the allowed values
├── ImportFailure         a model that cannot be read: format, node, op; all unsupported ops at once
├── CompileError          phase, pass, op, source location, reproducer
│   └── TargetError       code generation for one target: executable, tool output
└── DeviceError           the runtime's status and message

The text of an error reads: what failed; where (the model's own node first, IR second); what to do.
"""


class MlirageError(Exception):
    """Base of every error that mlirage raises on purpose."""


class UsageError(MlirageError):
    """A wrong argument or option."""


_EXTRAS = {
    "onnx": "onnx", "torch": "torch", "jax": "jax", "tensorflow": "tf", "keras": "tf", "tflite": "tflite",
    "gguf": "gguf",
}  # fmt: skip


def missing_package(error: ModuleNotFoundError) -> UsageError:
    """What to tell a user whose installation lacks a package; a missing module of ours is a bug, raised as it is."""
    package = (error.name or "").partition(".")[0]
    if package in ("", "mlirage"):
        raise error
    extra = _EXTRAS.get(package, "compiler")
    told = UsageError(f"this needs the package {package!r}: pip install 'mlirage[{extra}]'")
    told.__cause__ = error
    return told


class ImportFailure(MlirageError):
    """A model that cannot be read or that holds something not supported."""


class CompileError(MlirageError):
    """A program that was read but cannot be compiled."""


class TargetError(CompileError):
    """Code generation for one target failed."""


class DeviceError(MlirageError):
    """The runtime refused a module or a call, or a device failed."""
