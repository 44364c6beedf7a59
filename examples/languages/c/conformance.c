// The conformance kit in C: `lunatic conformance` runs this program with the name of a case, and checks what it does.
//
//     clang --target=wasm32-wasip1 -I ../../../lunatic-sys/include conformance.c -o conformance.wasm
//     lunatic conformance conformance.wasm

#include <lunatic.h>
#include <stdio.h>

enum { LONG_LEN = 3 << 20 };

static const uint64_t forever = LUNATIC_NO_TIMEOUT;

// Prints an exit reason.
static void print_reason(const lunatic_reason *reason) {
    if (reason->kind == LUNATIC_EXIT_NORMAL)
        printf("normal\n");
    else if (reason->kind == LUNATIC_EXIT_EXIT)
        printf("exit %d\n", reason->detail);
    else if (reason->kind == LUNATIC_EXIT_KILLED)
        printf("killed\n");
    else if (reason->kind == LUNATIC_EXIT_ERROR)
        printf("error: %.*s\n", (int)reason->text_len, reason->text);
    else
        printf("crashed\n");
}

static void print_end(lunatic_handle process) {
    lunatic_reason reason;
    lunatic_join(process, forever, &reason);
    print_reason(&reason);
    lunatic_free_reason(&reason);
}

static lunatic_handle spawn(lunatic_entry entry, const void *captured, size_t len) {
    lunatic_handle child;
    if (lunatic_spawn(entry, captured, len, &child) != LUNATIC_OK) exit(1);
    return child;
}

// Receives mail with one tag (any tag if it is 0), and returns the length.
static int receive(uint64_t tag, void *to, size_t capacity) {
    lunatic_header header;
    return lunatic_receive(&tag, tag != 0, &header, to, capacity, forever);
}

static void print_message(uint64_t tag) {
    char text[64];
    int len = receive(tag, text, sizeof text);
    printf("%.*s\n", len, text);
}

LUNATIC_ENTRY(print_captured, captured, len) { printf("child: %.*s\n", (int)len, (const char *)captured); }

static void captured(void) {
    lunatic_handle child = spawn(print_captured, "oak", 3);
    lunatic_join(child, forever, NULL);
    printf("joined: ");
    print_end(child);
}

static int variable = 1;

LUNATIC_ENTRY(print_variable, captured, len) { printf("child: %d\n", variable); }

static void memory(void) {
    variable = 2;
    lunatic_join(spawn(print_variable, NULL, 0), forever, NULL);
    printf("parent: %d\n", variable);
}

LUNATIC_ENTRY(print_part, captured, len) { printf("kept"); }

static void flush(void) { lunatic_join(spawn(print_part, NULL, 0), forever, NULL); }

LUNATIC_ENTRY(print_three, captured, len) {
    for (int i = 0; i < 3; i++) {
        lunatic_header header;
        char text[8];
        int got = lunatic_receive(NULL, 0, &header, text, sizeof text, forever);
        printf("%d (%.*s)\n", (int)header.tag, got, text);
    }
}

static void messages(void) {
    lunatic_handle child = spawn(print_three, NULL, 0);
    lunatic_send(child, 16, "a", 1);
    lunatic_send(child, 17, "b", 1);
    lunatic_send(child, 18, NULL, 0);
    lunatic_join(child, forever, NULL);
}

static void selective(void) {
    lunatic_handle self = lunatic_this();
    lunatic_send(self, 16, "one", 3);
    lunatic_send(self, 17, "two", 3);
    lunatic_send(self, 18, "three", 5);
    print_message(18);
    const uint64_t tags[] = {17, 16};
    lunatic_header header;
    char text[8];
    int len = lunatic_receive(tags, 2, &header, text, sizeof text, forever);
    printf("%.*s\n", len, text);
    print_message(0);
}

LUNATIC_ENTRY(send_long, captured, len) {
    unsigned char *message = malloc(LONG_LEN);
    for (size_t i = 0; i < LONG_LEN; i++) message[i] = i % 251;
    lunatic_send(*(const lunatic_handle *)captured, 16, message, LONG_LEN);
    free(message);
}

static void long_message(void) {
    lunatic_handle self = lunatic_this();
    spawn(send_long, &self, sizeof self);
    receive(16, NULL, 0);
    size_t len;
    unsigned char *message = (unsigned char *)lunatic_take(&len);
    unsigned long sum = 0;
    for (size_t i = 0; i < len; i++) sum += message[i];
    printf("%zu %lu\n", len, sum);
    free(message);
}

LUNATIC_ENTRY(send_numbers, captured, len) {
    for (int32_t i = 1; i <= 5; i++) lunatic_push(*(const lunatic_handle *)captured, &i, sizeof i, forever);
}

static void channel(void) {
    lunatic_handle numbers;
    lunatic_channel(1, &numbers);
    spawn(send_numbers, &numbers, sizeof numbers);
    int32_t sum = 0;
    for (int i = 0; i < 5; i++) {
        int32_t number = 0;
        lunatic_pull(numbers, &number, sizeof number, forever);
        sum += number;
    }
    printf("%d\n", sum);
}

LUNATIC_ENTRY(send_channel, captured, len) {
    lunatic_handle mine;
    lunatic_channel(0, &mine);
    lunatic_send(*(const lunatic_handle *)captured, 16, &mine, sizeof mine);
}

static void closed(void) {
    lunatic_handle self = lunatic_this(), theirs = {0, 0};
    lunatic_join(spawn(send_channel, &self, sizeof self), forever, NULL);
    receive(16, &theirs, sizeof theirs);
    if (lunatic_pull(theirs, NULL, 0, forever) == LUNATIC_CLOSED) printf("closed\n");
}

LUNATIC_ENTRY(exit_with_7, captured, len) { exit(7); }

// Spawns a child with options, and prints the reason in the notification of this kind about its exit.
static void print_news(lunatic_entry entry, const lunatic_spawn_options *options, uint64_t tag, uint32_t kind) {
    lunatic_spawned child;
    if (lunatic_spawn_with(entry, NULL, 0, options, &child) != LUNATIC_OK) exit(1);
    lunatic_header header;
    char body[1024];
    int len = lunatic_receive(&tag, 1, &header, body, sizeof body, forever);
    lunatic_reason reason;
    if (header.kind == kind && lunatic_read_reason(body, len, &reason)) print_reason(&reason);
}

static void link_case(void) {
    lunatic_trap_exits(true);
    lunatic_spawn_options options = {.flags = LUNATIC_SPAWN_LINK};
    print_news(exit_with_7, &options, LUNATIC_TAG_SIGNAL, LUNATIC_MAIL_EXIT);
}

LUNATIC_ENTRY(crash, captured, len) { __builtin_trap(); }

static void monitor(void) {
    lunatic_spawn_options options = {.flags = LUNATIC_SPAWN_MONITOR, .monitor_tag = 20};
    print_news(crash, &options, 20, LUNATIC_MAIL_DOWN);
}

LUNATIC_ENTRY(fail, captured, len) { lunatic_exit(LUNATIC_EXIT_ERROR, 0, "out of stock"); }

static void reason(void) { print_end(spawn(fail, NULL, 0)); }

LUNATIC_ENTRY(wait, captured, len) { receive(0, NULL, 0); }

static void kill(void) {
    lunatic_handle child = spawn(wait, NULL, 0);
    if (lunatic_process_is_alive(child.id, child.key) == 1) printf("alive\n");
    lunatic_kill(child);
    print_end(child);
    if (lunatic_process_is_alive(child.id, child.key) == 0) printf("gone\n");
}

LUNATIC_ENTRY(compute, captured, len) {
    for (volatile unsigned i = 0;; i++) {
    }
}

static void busy(void) {
    lunatic_handle child = spawn(compute, NULL, 0);
    lunatic_sleep(LUNATIC_MILLISECOND);
    lunatic_kill(child);
    print_end(child);
}

LUNATIC_ENTRY(find_clerk, captured, len) {
    lunatic_handle clerk;
    if (lunatic_lookup("clerk", &clerk) == LUNATIC_OK) lunatic_send(clerk, 16, "found", 5);
}

static void names(void) {
    lunatic_register("clerk", lunatic_this());
    spawn(find_clerk, NULL, 0);
    print_message(16);
    if (lunatic_register("clerk", spawn(wait, NULL, 0)) == LUNATIC_NAME_TAKEN) printf("taken\n");
    lunatic_unregister("clerk");
    lunatic_handle clerk;
    if (lunatic_lookup("clerk", &clerk) == LUNATIC_CLOSED) printf("free\n");
}

static void timer(void) {
    uint64_t timer;
    lunatic_send_after(lunatic_this(), 16, "tick", 4, LUNATIC_MILLISECOND, 0, &timer);
    print_message(16);
    lunatic_send_after(lunatic_this(), 16, "late", 4, 3600 * LUNATIC_SECOND, 0, &timer);
    if (lunatic_timer_cancel(timer) == 1) printf("cancelled\n");
}

static void timeout(void) {
    lunatic_header header;
    if (lunatic_receive(NULL, 0, &header, NULL, 0, LUNATIC_MILLISECOND) == LUNATIC_TIMED_OUT) printf("timed out\n");
    if (lunatic_receive(NULL, 0, &header, NULL, 0, 0) == LUNATIC_EMPTY) printf("empty\n");
}

LUNATIC_ENTRY(answer, captured, len) {
    char message[64];
    int got = receive(16, message, sizeof message - 1);
    lunatic_request request;
    memcpy(&request, message, sizeof request);
    message[got] = '!';
    lunatic_reply(request, message + sizeof request, got + 1 - sizeof request);
}

static void call(void) {
    char reply[16];
    int len = lunatic_call(spawn(answer, NULL, 0), 16, "ping", 4, reply, sizeof reply, forever);
    printf("%.*s\n", len, reply);
    len = lunatic_call(spawn(wait, NULL, 0), 16, "ping", 4, reply, sizeof reply, forever);
    if (len == LUNATIC_GONE) printf("gone\n");
}

LUNATIC_ENTRY(try_to_spawn, captured, len) {
    lunatic_handle child;
    if (lunatic_spawn(wait, NULL, 0, &child) == LUNATIC_DENIED) printf("denied\n");
}

static void rights(void) {
    static const char config[] = "deny=spawn";
    lunatic_spawn_options options = {0};
    lunatic_options_config(&options, config, sizeof config);
    lunatic_spawned child;
    if (lunatic_spawn_with(try_to_spawn, NULL, 0, &options, &child) == LUNATIC_OK)
        lunatic_join(child.process, forever, NULL);
}

static void forged(void) {
    if (lunatic_process_is_alive(0, 0) == LUNATIC_INVALID) printf("invalid\n");
}

static void code(void) { exit(9); }

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        {"captured", captured}, {"memory", memory}, {"flush", flush},     {"messages", messages}, {"selective", selective},
        {"long", long_message}, {"channel", channel}, {"closed", closed}, {"link", link_case},    {"monitor", monitor},
        {"reason", reason},     {"kill", kill},       {"busy", busy},     {"names", names},       {"timer", timer},
        {"timeout", timeout},   {"call", call},       {"rights", rights}, {"forged", forged},     {"code", code},
    };
    for (size_t i = 0; argc == 2 && i < sizeof cases / sizeof *cases; i++)
        if (strcmp(argv[1], cases[i].name) == 0) {
            // A child may print between two lines of the parent, so each line is flushed immediately.
            setvbuf(stdout, NULL, _IOLBF, 0);
            cases[i].run();
            return 0;
        }
    fprintf(stderr, "no such case\n");
    return 1;
}
