//! Standard input, which belongs to the main process.

use std::sync::Arc;

use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;

/// The standard input of the main process. For all other processes it is empty.
#[derive(Clone, Debug, Default)]
pub enum Stdin {
    /// Empty.
    #[default]
    Empty,
    /// The standard input of the host, read by a separate thread, and only when the process asks for it.
    Inherit,
    /// These bytes.
    Bytes(Arc<[u8]>),
}

/// The standard input of a running system: its readers share one stream.
#[derive(Clone)]
pub(crate) enum OpenStdin {
    Empty,
    Inherit,
    Pipe(MemoryInputPipe),
}

impl OpenStdin {
    pub(crate) fn new(stdin: &Stdin) -> Self {
        match stdin {
            Stdin::Empty => Self::Empty,
            Stdin::Inherit => Self::Inherit,
            Stdin::Bytes(bytes) => Self::Pipe(MemoryInputPipe::new(bytes.to_vec())),
        }
    }

    pub(crate) fn give(&self, builder: &mut WasiCtxBuilder) {
        match self {
            // This is the default of the builder.
            Self::Empty => {}
            Self::Inherit => _ = builder.stdin(std::io::stdin()),
            Self::Pipe(pipe) => _ = builder.stdin(pipe.clone()),
        }
    }
}
