//! Standard input: it belongs to the main process.

use std::sync::Arc;

use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;

/// What the main process reads as its standard input. All others find it at its end.
#[derive(Clone, Debug, Default)]
pub enum Stdin {
    /// Nothing.
    #[default]
    Empty,
    /// The standard input of the host, read by a thread of its own and only when the process asks for it.
    Inherit,
    /// These bytes.
    Bytes(Arc<[u8]>),
}

/// The standard input of a running system: those that read it take from one stream.
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
            // The default of the builder.
            Self::Empty => {}
            Self::Inherit => _ = builder.stdin(std::io::stdin()),
            Self::Pipe(pipe) => _ = builder.stdin(pipe.clone()),
        }
    }
}
