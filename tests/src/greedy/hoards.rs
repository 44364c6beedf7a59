//! Plans written by hand, with which the search begins, so that it does not have to find obvious ones first.
//!
//! Addresses are those of [`plan`](super::plan): 1024 the process itself, 1056 its channel, 1088 a child or the parent,
//! 1120 a socket, 1184 a module, 2048 zeros with the code of a reason before them, 1800 a name that each round changes.

/// A plan in the text format.
pub(super) struct Hoard {
    pub(super) what: &'static str,
    pub(super) is_compat: bool,
    /// What the main process does once, what it repeats, and what each child does once before it waits.
    pub(super) before: &'static [&'static str],
    pub(super) again: &'static [&'static str],
    pub(super) child: &'static [&'static str],
}

const ME: &str = "(drop (call $process.trap_exit (i32.const 1)))";
const SPAWN: &str =
    "(drop (call $process.spawn_closure (i32.const 1) (i32.const 2048) (i32.const 0) (i32.const 1088)))";
const SPAWN_FULL: &str =
    "(drop (call $process.spawn_closure (i32.const 1) (i32.const 2048) (i32.const 65536) (i32.const 1088)))";
const SPAWN_COMPAT: &str = "(drop (call $process.spawn (i64.const 0) (i64.const -1) (i64.const -1) (i32.const 150000) (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 1400)))";
const GROW: &str = "(drop (memory.grow (i32.const 1)))";
const MAIL: &str = "(drop (call $mailbox.send (i64.load (i32.const 1024)) (i64.load (i32.const 1032)) (global.get $number) (i32.const 2048) (i32.const 8)))";
const LONG_MAIL: &str = "(drop (call $mailbox.send (i64.load (i32.const 1024)) (i64.load (i32.const 1032)) (i64.const 7) (i32.const 2048) (i32.const 140000)))";

const fn plain(
    what: &'static str,
    before: &'static [&'static str],
    again: &'static [&'static str],
    child: &'static [&'static str],
) -> Hoard {
    Hoard {
        what,
        is_compat: false,
        before,
        again,
        child,
    }
}

const fn compat(what: &'static str, again: &'static [&'static str], child: &'static [&'static str]) -> Hoard {
    Hoard {
        what,
        is_compat: true,
        before: &[],
        again,
        child,
    }
}

pub(super) const HOARDS: &[Hoard] = &[
    plain("short mail", &[], &[MAIL], &[]),
    plain("long mail", &[], &[LONG_MAIL], &[]),
    plain("children that are full", &[], &[SPAWN_FULL], &[MAIL, LONG_MAIL, GROW]),
    plain(
        "memory of many",
        &[],
        &[SPAWN],
        &[
            GROW,
            "(memory.fill (i32.const 160000) (i32.const 7) (i32.const 100000))",
        ],
    ),
    plain("stacks of many", &[], &[SPAWN], &["(call $deep (i32.const 10000))"]),
    plain(
        "tables of many",
        &[],
        &[SPAWN],
        &["(drop (table.grow (ref.null func) (i32.const 100000)))"],
    ),
    plain(
        "channels with mail",
        &[],
        &[
            "(drop (call $channel.new (i64.const 0) (i32.const 1056)))",
            "(drop (call $channel.try_send (i64.load (i32.const 1056)) (i64.load (i32.const 1064)) (i32.const 2048) (i32.const 1000)))",
        ],
        &[],
    ),
    plain(
        "monitors and links",
        &[ME, SPAWN],
        &[
            "(drop (call $process.monitor (i64.load (i32.const 1088)) (i64.load (i32.const 1096)) (i64.const 3) (i32.const 1400)))",
            "(drop (call $process.link (i64.load (i32.const 1088)) (i64.load (i32.const 1096))))",
        ],
        &[],
    ),
    plain(
        "exits with texts",
        &[ME],
        &[
            "(drop (call $process.exit_signal (i64.load (i32.const 1024)) (i64.load (i32.const 1032)) (i32.const 2048) (i32.const 65544)))",
        ],
        &[],
    ),
    plain(
        "names of children",
        &[],
        &[
            SPAWN,
            "(drop (call $registry.register (i32.const 1800) (i32.const 200) (i64.load (i32.const 1088)) (i64.load (i32.const 1096))))",
            "(drop (call $registry.join_group (i32.const 1800) (i32.const 8) (i64.load (i32.const 1088)) (i64.load (i32.const 1096))))",
        ],
        &[],
    ),
    plain(
        "a group that all hear",
        &[SPAWN, SPAWN, SPAWN],
        &[
            "(drop (call $registry.broadcast (i32.const 2048) (i32.const 8) (i64.const 7) (i32.const 2048) (i32.const 60000)))",
        ],
        &[
            "(drop (call $registry.join_group (i32.const 2048) (i32.const 8) (i64.load (i32.const 1024)) (i64.load (i32.const 1032))))",
        ],
    ),
    plain(
        "timers",
        &[],
        &[
            "(drop (call $timer.send_after (i64.load (i32.const 1024)) (i64.load (i32.const 1032)) (i64.const 7) (i32.const 2048) (i32.const 1000) (i64.const 1000000) (i64.const 1000000) (i32.const 1400)))",
        ],
        &[],
    ),
    plain(
        "pairs of sockets, full",
        &[],
        &[
            "(drop (call $net.unix_pair (i32.const 1120) (i32.const 1216)))",
            "(drop (call $net.try_write (i64.load (i32.const 1120)) (i64.load (i32.const 1128)) (i32.const 2048) (i32.const 140000)))",
        ],
        &[],
    ),
    plain(
        "listeners",
        &[],
        &[
            "(drop (call $net.tcp_listen (i32.const 1472) (i32.const 1120)))",
            "(drop (call $net.udp_bind (i32.const 1472) (i32.const 1216)))",
        ],
        &[],
    ),
    plain(
        "modules",
        &[],
        &[
            "(i64.store (i32.const 150570) (global.get $number))",
            "(drop (call $module.compile (i32.const 150512) (i32.const 66) (i32.const 1184)))",
            "(drop (call $module.spawn_export (i64.load (i32.const 1184)) (i64.load (i32.const 1192)) (i32.const 150768) (i32.const 6) (i32.const 1536) (i32.const 1088)))",
        ],
        &[],
    ),
    plain(
        "children with budgets of their own",
        &[],
        &[
            "(drop (call $process.spawn (i32.const 1) (i32.const 2048) (i32.const 0) (i32.const 1600) (i32.const 1088)))",
        ],
        &[
            MAIL,
            GROW,
            "(drop (call $process.spawn (i32.const 1) (i32.const 2048) (i32.const 0) (i32.const 1600) (i32.const 1088)))",
        ],
    ),
    plain(
        "children whose output is kept",
        &[],
        &[
            "(drop (call $process.spawn (i32.const 1) (i32.const 2048) (i32.const 0) (i32.const 1728) (i32.const 1088)))",
        ],
        &["(drop (call $wasi_fd_write (i32.const 1) (i32.const 148000) (i32.const 2) (i32.const 1400)))"],
    ),
    plain(
        "open files",
        &[],
        &[
            "(drop (call $wasi_path_open (i32.const 3) (i32.const 0) (i32.const 1800) (i32.const 8) (i32.const 1) (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 1400)))",
        ],
        &[],
    ),
    compat(
        "drafts",
        &[
            "(call $message.create_data (i64.const 7) (i64.const 0))",
            "(drop (call $message.write_data (i32.const 2048) (i32.const 140000)))",
        ],
        &[],
    ),
    compat(
        "children of old",
        &[SPAWN_COMPAT],
        &[
            "(call $message.create_data (i64.const 7) (i64.const 0))",
            "(drop (call $message.write_data (i32.const 2048) (i32.const 60000)))",
        ],
    ),
    compat(
        "configurations",
        &[
            "(drop (call $process.create_config))",
            "(call $wasi.config_add_command_line_argument (i64.const 1) (i32.const 2048) (i32.const 60000))",
        ],
        &[],
    ),
    compat(
        "databases",
        &[
            "(drop (call $sqlite.open (i32.const 151280) (i32.const 8) (i32.const 1400)))",
            "(drop (call $sqlite.execute (i64.const 0) (i32.const 151792) (i32.const 59)))",
        ],
        &[],
    ),
    compat(
        "metrics",
        &["(call $metrics.counter (i32.const 1800) (i32.const 200) (i64.const 1))"],
        &[],
    ),
];
