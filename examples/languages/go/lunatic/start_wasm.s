#include "textflag.h"

// The address of the function that the module exports as `_start`. The upper bits of an address are the index of its function in
// the table, which is what a spawn needs.
DATA ·start+0(SB)/8, $_rt0_wasm_wasip1(SB)
GLOBL ·start(SB), NOPTR, $8
