"""vm: the host program becomes register code of the runtime's virtual machine.

    func.func public @main(%x: !hal.buffer_view) -> !hal.buffer_view {   main(r_r) scalars=4 refs=3
      %c = arith.constant 0 : i64                                          const_64_short 0 -> s0
      %d = "hal.device_get"(%c)                                            call_import hal.device_get [], s0 -> r1
      …                                                                    …

`scf` becomes branches, then every op a `vm` op (dialect.py) or a call of the runtime; that is the program after this
phase. Leaving it, encode.py assigns registers (allocate_registers.py) and writes the module file.
"""

from mlirage.passes import Pass
from mlirage.vm.convert_to_vm import convert_to_vm

PIPELINE: tuple[Pass, ...] = (
    "convert-scf-to-cf",
    "canonicalize",
    "cse",
    convert_to_vm,
    "cse",
)
