// `setjmp` and `longjmp` by WebAssembly exceptions, for C libraries without these functions, such as older versions of WASI's. Compile
// the whole program with `-mllvm -wasm-enable-sjlj -mllvm -wasm-use-legacy-eh=false`: clang then turns calls of the two functions into
// calls of those in `setjmp.c`.

#ifndef LUNATIC_SETJMP_H
#define LUNATIC_SETJMP_H

// Where `setjmp` was called, by which call of its function, and the exception that `longjmp` throws.
typedef struct {
    void *invocation;
    unsigned label;
    struct {
        void *place;
        int value;
    } thrown;
} jmp_buf[1];

int setjmp(jmp_buf place) __attribute__((returns_twice));
_Noreturn void longjmp(jmp_buf place, int value);

#endif
