(module
    (import "lunatic::process" "next" (func $next (result i32)))
    (import "lunatic::process" "spawn" (func $spawn (param i32 i32 i32 i32 i32) (result i32)))
    (import "lunatic::process" "join" (func $join (param i64 i64 i64) (result i32)))
    (import "lunatic::mailbox" "receive" (func $receive (param i32 i32 i32 i32 i32 i64) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "shop" "price" (func $price (param i32) (result i32)))
    (import "shop" "order" (func $order (param i32) (result i32)))
    (import "shop" "wait_for_delivery" (func $wait_for_delivery (param i32 i32) (result i32)))
    (import "shop" "stocktaking" (func $stocktaking (result i32)))
    (import "shop" "expect_news" (func $expect_news))
    (import "shop" "say" (func $say (param i32 i32)))
    (import "shop" "say_number" (func $say_number (param i32)))
    (memory (export "memory") 1)

    ;; The configuration of a clerk: it may place one order.
    (data (i32.const 0) "shop:orders=1\00")
    (data (i32.const 32) "the shop opens\n")
    (data (i32.const 96) "open")
    ;; The text to print: a pointer and a length.
    (data (i32.const 64) "\20\00\00\00\0f\00\00\00")
    (table 2 funcref)
    (elem (i32.const 1) $clerk)

    ;; A child, which places two orders. The second is refused.
    (func $clerk
        (call $say_number (call $order (i32.const 10)))
        (call $say_number (call $order (i32.const 10))))

    ;; Waits for a message with any tag, and passes it to the program.
    (func $hear
        (call $say (i32.const 4096)
            (call $receive (i32.const 0) (i32.const 0) (i32.const 3072) (i32.const 4096) (i32.const 4096)
                (i64.const -1))))

    (func (export "_start")
        (drop (call $write (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 80)))
        (call $say_number (call $price (i32.const 14)))
        (call $say_number (call $wait_for_delivery (call $order (i32.const 20)) (i32.const 60000)))
        ;; There is no order with this number.
        (call $say_number (call $wait_for_delivery (i32.const 9) (i32.const 10)))
        (call $say_number (call $stocktaking))
        (call $expect_news)
        (call $hear)
        ;; Spawns a clerk; the options at 1024 contain the address and length of the configuration.
        (i64.store (i32.const 1064) (i64.const 0))
        (i32.store (i32.const 1072) (i32.const 14))
        (drop (call $spawn (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 1024) (i32.const 2048)))
        (drop (call $join (i64.load (i32.const 2048)) (i64.load (i32.const 2056)) (i64.const -1)))
        ;; The shop is open until a message closes it.
        (call $say (i32.const 96) (i32.const 4))
        (call $hear)))
