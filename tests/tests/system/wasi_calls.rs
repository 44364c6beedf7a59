//! Every function of WASI preview 1 with arguments that make no sense: it answers or traps, and the host goes on.

use std::fmt::Write;

use lunatic_host::ExitReason;
use lunatic_tests::host::Host;

/// The functions and their parameters: `i` for `i32`, `l` for `i64`. All but `proc_exit` return an `i32`.
const FUNCTIONS: &[(&str, &str)] = &[
    ("args_get", "ii"),
    ("args_sizes_get", "ii"),
    ("clock_res_get", "ii"),
    ("clock_time_get", "ili"),
    ("environ_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("fd_advise", "illi"),
    ("fd_allocate", "ill"),
    ("fd_close", "i"),
    ("fd_datasync", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "ill"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "il"),
    ("fd_filestat_set_times", "illi"),
    ("fd_pread", "iiili"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_prestat_get", "ii"),
    ("fd_pwrite", "iiili"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiili"),
    ("fd_renumber", "ii"),
    ("fd_seek", "ilii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiilli"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiillii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("poll_oneoff", "iiii"),
    ("proc_exit", "i"),
    ("proc_raise", "i"),
    ("random_get", "ii"),
    ("sched_yield", ""),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
    ("sock_shutdown", "ii"),
];

/// Values at the edges: of descriptors (3 is a folder), of the memory of 64 KiB, of numbers.
const VALUES: [i64; 16] = [
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    48,
    1000,
    0xfff0,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    -16,
    -1,
];

/// Calls of each function: all parameters alike, each value once; then mixed.
const CALLS: usize = 80;

fn module((name, parameters): (&str, &str)) -> String {
    let types: String = parameters
        .chars()
        .map(|kind| if kind == 'l' { " i64" } else { " i32" })
        .collect();
    let (result, drop) = if name == "proc_exit" {
        ("", "")
    } else {
        (" (result i32)", "drop")
    };
    let mut text = format!("(import \"wasi_snapshot_preview1\" \"{name}\" (func $f (param{types}){result}))");
    // Half of the calls find a memory full of zeros, half one full of ones.
    text.push_str("(memory (export \"memory\") 1)");
    let mut state = 1_u64;
    for call in 0..CALLS {
        let arguments: String = parameters
            .chars()
            .map(|kind| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let value = VALUES
                    .get(call)
                    .unwrap_or(&VALUES[(state >> 33) as usize % VALUES.len()]);
                if kind == 'l' {
                    format!(" (i64.const {value})")
                } else {
                    format!(" (i32.const {})", *value as i32)
                }
            })
            .collect();
        let fill = if call % 2 == 0 { 0 } else { 255 };
        let _ = write!(
            text,
            "(func (export \"call {call}\")
                (memory.fill (i32.const 0) (i32.const {fill}) (i32.const 65536))
                (call $f{arguments}) {drop})"
        );
    }
    format!("(module {text})")
}

#[test]
fn wild_arguments_of_wasi_harm_nobody() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("data");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(temp.path().join("outside"), "outside").unwrap();
    let host = Host::with(|builder| builder.workers(2));
    for function in FUNCTIONS {
        let module = host
            .load(module(*function).as_bytes())
            .unwrap_or_else(|error| panic!("{function:?}: {error}"));
        for call in 0..CALLS {
            let program = host.loaded(&module).dir(&folder, "/data", false).quiet();
            let ended = program.entry(&format!("call {call}")).run();
            let fine = matches!(
                ended.reason,
                ExitReason::Normal | ExitReason::Exit(_) | ExitReason::Trap(_)
            );
            assert!(fine, "{function:?}, call {call}: {ended}");
        }
    }
    assert_eq!(std::fs::read_to_string(temp.path().join("outside")).unwrap(), "outside");
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 2);
}
