"""What each opcode computes, as a C expression over its operands {a}, {b}, {c}.

Integers are unsigned in C (they wrap); signed ones are cast where it matters. A name of prelude.c in an expression
brings that function into the output.
"""

from __future__ import annotations

_S = {"i32": "(int32_t)", "i64": "(int64_t)"}
_U = {"i32": "(uint32_t)", "i64": "(uint64_t)"}
_WIDTH = {"i32": 32, "i64": 64}

EXPRESSIONS: dict[str, str] = {
    "move": "{a}",
    "select": "{a} != 0 ? {b} : {c}",
    "is_null": "{a}.data == NULL && {a}.view == NULL",
    "extend_s_i32_i64": "(uint64_t)(int64_t)(int32_t){a}",
    "extend_u_i32_i64": "(uint64_t){a}",
    "trunc_i64_i32": "(uint32_t){a}",
    "extend_s_i8_i32": "(({a} & 0xffu) ^ 0x80u) - 0x80u",
    "extend_s_i16_i32": "(({a} & 0xffffu) ^ 0x8000u) - 0x8000u",
    "f32_f64": "(double){a}",
    "f64_f32": "(float){a}",
    "f16_f32": "f16_to_f32({a})",
    "f32_f16": "f32_to_f16({a})",
    "bf16_f32": "f32_of_bits({a} << 16)",
    "f32_bf16": "f32_to_bf16({a})",
    "bitcast_i32_f32": "f32_of_bits({a})",
    "bitcast_f32_i32": "bits_of_f32({a})",
    "bitcast_i64_f64": "f64_of_bits({a})",
    "bitcast_f64_i64": "bits_of_f64({a})",
    "buffer_length": "(uint64_t){a}.length",
}
for _type in ("i32", "i64"):
    _s, _u, _w = _S[_type], _U[_type], _WIDTH[_type]
    EXPRESSIONS.update(
        {
            f"add_{_type}": "{a} + {b}",
            f"sub_{_type}": "{a} - {b}",
            f"mul_{_type}": "{a} * {b}",
            f"div_s_{_type}": f"div_s_{_type}({{a}}, {{b}})",
            f"div_u_{_type}": "{a} / {b}",
            f"rem_s_{_type}": f"rem_s_{_type}({{a}}, {{b}})",
            f"rem_u_{_type}": "{a} % {b}",
            f"and_{_type}": "{a} & {b}",
            f"or_{_type}": "{a} | {b}",
            f"xor_{_type}": "{a} ^ {b}",
            f"shl_{_type}": f"{{b}} < {_w} ? {{a}} << ({{b}} & {_w - 1}) : 0",
            f"shr_u_{_type}": f"{{b}} < {_w} ? {{a}} >> ({{b}} & {_w - 1}) : 0",
            f"shr_s_{_type}": f"shr_s_{_type}({{a}}, {{b}})",
            f"min_s_{_type}": f"{_s}{{a}} < {_s}{{b}} ? {{a}} : {{b}}",
            f"max_s_{_type}": f"{_s}{{a}} > {_s}{{b}} ? {{a}} : {{b}}",
            f"min_u_{_type}": "{a} < {b} ? {a} : {b}",
            f"max_u_{_type}": "{a} > {b} ? {a} : {b}",
            f"clz_{_type}": f"clz_{_type}({{a}})",
            f"ctz_{_type}": f"ctz_{_type}({{a}})",
            f"popcnt_{_type}": f"popcnt_{_type}({{a}})",
            f"eq_{_type}": "{a} == {b}",
            f"ne_{_type}": "{a} != {b}",
            f"lt_s_{_type}": f"{_s}{{a}} < {_s}{{b}}",
            f"lt_u_{_type}": "{a} < {b}",
            f"le_s_{_type}": f"{_s}{{a}} <= {_s}{{b}}",
            f"le_u_{_type}": "{a} <= {b}",
            f"{_type}_f32_s": f"(float){_s}{{a}}",
            f"{_type}_f32_u": "(float){a}",
            f"{_type}_f64_s": f"(double){_s}{{a}}",
            f"{_type}_f64_u": "(double){a}",
            f"f32_{_type}_s": f"f64_to_{_type}((double){{a}})",
            f"f32_{_type}_u": f"f64_to_u{_w}((double){{a}})",
            f"f64_{_type}_s": f"f64_to_{_type}({{a}})",
            f"f64_{_type}_u": f"f64_to_u{_w}({{a}})",
        }
    )
for _type, _mask in (("f32", "0x7fffffffu"), ("f64", "(UINT64_MAX >> 1)")):
    _bits_of = f"bits_of_{_type}"
    EXPRESSIONS.update(
        {
            f"add_{_type}": "{a} + {b}",
            f"sub_{_type}": "{a} - {b}",
            f"mul_{_type}": "{a} * {b}",
            f"div_{_type}": "{a} / {b}",
            f"neg_{_type}": "-{a}",
            f"abs_{_type}": f"{_type}_of_bits({_bits_of}({{a}}) & {_mask})",
            f"copysign_{_type}": (f"{_type}_of_bits(({_bits_of}({{a}}) & {_mask}) | ({_bits_of}({{b}}) & ~{_mask}))"),
            f"min_{_type}": f"{_type}_min({{a}}, {{b}})",
            f"max_{_type}": f"{_type}_max({{a}}, {{b}})",
            f"eq_{_type}": "{a} == {b}",
            f"lt_{_type}": "{a} < {b}",
            f"le_{_type}": "{a} <= {b}",
        }
    )
for _name, _function in (("floor", "floor"), ("ceil", "ceil"), ("trunc", "trunc"), ("round_even", "round_even"),
                         ("sqrt", "sqrt")):  # fmt: skip
    # In double precision these are exact for floats, the root rounded once more to the right one.
    EXPRESSIONS[f"{_name}_f64"] = f"f64_{_function}({{a}})"
    EXPRESSIONS[f"{_name}_f32"] = f"(float)f64_{_function}((double){{a}})"
EXPRESSIONS["rem_f64"] = "f64_remainder({a}, {b})"
EXPRESSIONS["rem_f32"] = "(float)f64_remainder((double){a}, (double){b})"

# Bytes in memory, and the value read from {p}.
LOADS = {
    "buffer_load_u8": (1, "(uint32_t)*({p})"),
    "buffer_load_s8": (1, "((uint32_t)*({p}) ^ 0x80u) - 0x80u"),
    "buffer_load_u16": (2, "load_16({p})"),
    "buffer_load_s16": (2, "(load_16({p}) ^ 0x8000u) - 0x8000u"),
    "buffer_load_32": (4, "load_32({p})"),
    "buffer_load_64": (8, "load_64({p})"),
}
STORES = {
    "buffer_store_8": (1, "*({p}) = (uint8_t){v}"),
    "buffer_store_16": (2, "store_16({p}, {v})"),
    "buffer_store_32": (4, "store_32({p}, {v})"),
    "buffer_store_64": (8, "store_64({p}, {v})"),
}
# Ops that fill the reference `fresh`, and those that only succeed or fail.
MAKES_REFERENCE = {"buffer_alloc": "buffer_alloc", "buffer_clone": "buffer_clone", "buffer_slice": "buffer_slice"}
