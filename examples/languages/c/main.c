// A counter that serves requests, workers that send to it, and a process that monitors one that crashes.
//
//     clang --target=wasm32-wasip1 -I ../../../lunatic-sys/include main.c -o main.wasm
//     lunatic main.wasm

#include <lunatic.h>
#include <stdio.h>

enum { ADD = 16, GET = 17, CRASHED = 18, WORKERS = 4, SENT_BY_EACH = 100 };

// The data of a worker. A worker has its own memory, so the data is passed as captured bytes.
typedef struct {
    lunatic_handle counter;
    int number;
} job;

// Keeps a sum: adds the numbers in messages, and answers requests.
LUNATIC_ENTRY(count, captured, len) {
    long long sum = 0;
    for (;;) {
        struct {
            lunatic_request request;
            char rest[8];
        } message;
        lunatic_header header;
        lunatic_receive(NULL, 0, &header, &message, sizeof message, LUNATIC_NO_TIMEOUT);
        if (header.tag == ADD)
            sum += *(int *)&message;
        else
            lunatic_reply(message.request, &sum, sizeof sum);
    }
}

LUNATIC_ENTRY(work, captured, len) {
    const job *mine = captured;
    for (int i = 0; i < SENT_BY_EACH; i++) lunatic_send(mine->counter, ADD, &mine->number, sizeof mine->number);
    // This line is flushed although the entry returns without calling `exit`.
    printf("worker %d is done\n", mine->number);
}

LUNATIC_ENTRY(crash, captured, len) { __builtin_trap(); }

int main(void) {
    lunatic_handle counter, workers[WORKERS];
    if (lunatic_spawn(count, NULL, 0, &counter) != LUNATIC_OK) return 1;
    for (int i = 0; i < WORKERS; i++) {
        job one = {counter, i + 1};
        if (lunatic_spawn(work, &one, sizeof one, &workers[i]) != LUNATIC_OK) return 1;
        lunatic_join(workers[i], LUNATIC_NO_TIMEOUT, NULL);
    }
    long long sum = 0;
    lunatic_call(counter, GET, NULL, 0, &sum, sizeof sum, LUNATIC_SECOND * 60);
    printf("the sum is %lld\n", sum);

    lunatic_spawn_options watched = {.flags = LUNATIC_SPAWN_MONITOR, .monitor_tag = CRASHED};
    lunatic_spawned child;
    if (lunatic_spawn_with(crash, NULL, 0, &watched, &child) != LUNATIC_OK) return 1;
    const uint64_t tags[] = {CRASHED};
    lunatic_header header;
    char body[512];
    int32_t len = lunatic_receive(tags, 1, &header, body, sizeof body, LUNATIC_NO_TIMEOUT);
    lunatic_reason reason;
    if (len < 0 || (size_t)len > sizeof body || !lunatic_read_reason(body, (size_t)len, &reason)) return 1;
    bool is_trap = reason.kind == LUNATIC_EXIT_TRAP && reason.detail == LUNATIC_TRAP_UNREACHABLE;
    printf("the child crashed: %s\n", is_trap ? "unreachable" : "for another reason");
    lunatic_kill(counter);
    return 0;
}
