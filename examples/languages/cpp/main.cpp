// Workers that answer through a channel, a registered name, a timer, and a child that is monitored while it crashes.
//
//     zig c++ --target=wasm32-wasi -std=c++20 -fno-exceptions -Wl,-z,stack-size=65536
//         -I ../../../lunatic-sys/include main.cpp -o main.wasm
//     lunatic main.wasm

#include <cstdio>
#include <lunatic.hpp>
#include <string>

namespace {

enum tag : std::uint64_t { crashed = 16, tick = 17 };

struct job {
    lunatic::channel<int> answers;
    int number;
};

// Runs before each entry, also in children.
const std::string greeting = "constructors have run";

// The destructor runs, and its line is flushed, when the entry returns.
struct farewell {
    ~farewell() { std::puts("destructors have run"); }
};

void square(const job &mine) {
    static farewell said;
    if (greeting.empty()) __builtin_trap();
    mine.answers.send(mine.number * mine.number);
}

void crash() { __builtin_trap(); }

} // namespace

int main() {
    auto answers = lunatic::channel<int>::make();
    if (!answers) return 1;
    int sum = 0;
    for (int number = 1; number <= 3; number++) {
        auto child = lunatic::spawn<square>(job{*answers, number});
        if (!child || child->join() != LUNATIC_EXIT_NORMAL) return 1;
        sum += answers->receive().value_or(0);
    }
    std::printf("the sum of squares is %d\n", sum);

    {
        lunatic::name name("printer", lunatic::process::self());
        auto found = lunatic::process::named("printer");
        lunatic::timer timer(found.value(), tick, 42, LUNATIC_MILLISECOND);
        auto mail = lunatic::receive({tick});
        std::printf("the timer sent %d\n", mail->value<int>().value_or(0));
    }
    std::printf("the name is %s\n", lunatic::process::named("printer") ? "taken" : "free");

    auto child = lunatic::spawn_monitored<crash>(crashed);
    if (!child) return 1;
    auto reason = lunatic::receive({crashed})->reason();
    std::printf("the child crashed: %s\n", reason.detail == LUNATIC_TRAP_UNREACHABLE ? "unreachable" : "otherwise");
}
