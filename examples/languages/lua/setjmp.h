// `setjmp` and `longjmp` by WebAssembly's exceptions, for C libraries that have none, such as older ones of WASI. Compile all of the
// program with `-mllvm -wasm-enable-sjlj -mllvm -wasm-use-legacy-eh=false`: then clang turns calls of these two functions into those
// of `setjmp.c`.

#ifndef LUNATIC_SETJMP_H
#define LUNATIC_SETJMP_H

// Where `setjmp` was called, by which call of its function, and what `longjmp` throws.
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
