// The functions that clang calls for `setjmp` and `longjmp` (with its option -wasm-enable-sjlj).

#include <setjmp.h>
#include <stdint.h>

// The tag of the exceptions that implement jumps. Clang refers to it by this name.
__asm__(
    ".tagtype __c_longjmp i32\n"
    ".globl __c_longjmp\n"
    "__c_longjmp:\n"
);

// Called when a function calls `setjmp` for the place with this label.
void __wasm_setjmp(void *to, uint32_t label, void *invocation) {
    jmp_buf *place = to;
    (*place)->invocation = invocation;
    (*place)->label = label;
}

// Returns the label of a place if it belongs to this call of the function; otherwise the exception is passed on.
uint32_t __wasm_setjmp_test(void *to, void *invocation) {
    jmp_buf *place = to;
    return (*place)->invocation == invocation ? (*place)->label : 0;
}

void __wasm_longjmp(void *to, int value) {
    jmp_buf *place = to;
    (*place)->thrown.place = to;
    (*place)->thrown.value = value == 0 ? 1 : value;
    __builtin_wasm_throw(1, &(*place)->thrown);
}
