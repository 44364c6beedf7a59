//! A program with a door, in this process.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use lunatic_admin::{Door, Program};
use lunatic_host::{RunningSystem, Runtime, SystemConfig};
use tempfile::TempDir;

pub(crate) struct Opened {
    _folder: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) system: Arc<RunningSystem>,
}

/// Starts a program in the text format.
pub(crate) fn open(program: &str) -> Opened {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inner").join("door.sock");
    let runtime = Arc::new(Runtime::builder().workers(2).cache(None).build().unwrap());
    let module = runtime.load(program.as_bytes()).unwrap();
    let system = Arc::new(runtime.start(&module, SystemConfig::default()).unwrap());
    let program = Program {
        runtime: runtime.clone(),
        system: system.clone(),
        name: "test.wasm".into(),
        start: Instant::now(),
    };
    Door::open(&path).unwrap().serve(program).unwrap();
    Opened {
        _folder: folder,
        path,
        runtime,
        system,
    }
}
