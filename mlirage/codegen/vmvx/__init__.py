"""vmvx: kernels as code of the runtime's virtual machine, for every machine that runs the runtime.

    interface form ─arguments─> schedule ─> bufferize ─> microkernels ─> loops ─> buffers ─vm─> code

Loops and scalars are interpreted; what many elements go through is left to microkernels, calls of the native module
`vmvx` (runtime/src/vmvx_module). The reference that other backends are compared with: no vectors, no fused
multiply-add.
"""
