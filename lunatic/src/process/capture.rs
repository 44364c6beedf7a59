//! What a closure may take along into a new process.

/// A closure that can be copied into the memory of another process. Nothing to implement: the compiler decides.
///
/// Every process has a memory of its own. The bytes of a closure are copied from the parent's memory to the child's, so
/// they must mean the same there:
///
/// | captured | compiles | instead |
/// |---|---|---|
/// | numbers, `bool`, `char`, arrays, tuples, structs that are `Copy` | yes | |
/// | [`Process`](crate::Process) and [`Channel`](crate::Channel) handles | yes | |
/// | functions, string literals and references to constants | yes | |
/// | `String`, `Vec`, `Box`, `Rc`, `Arc`, `File`, … | no: not [`Copy`] | send it through a channel, or make it inside |
/// | `&local`, `&mut local` | no: not `'static` | capture a copy with `move` |
/// | raw pointers, `Rc<T>` by reference | no: not [`Send`] | |
///
/// # What the compiler cannot see
///
/// A `&'static` reference to a constant, a string literal or a static is the same in every process, because these lie at
/// the same place in each memory. A `&'static` reference to the heap, made with [`Box::leak`] for one, is not: the child has
/// a heap of its own, and something else, or nothing, lies at that address. Rust has no type that tells the two apart.
/// Nor does it know that a static which was filled at run time (a [`OnceLock`](std::sync::OnceLock)) is as good as new in
/// the child, so that a reference to its *contents* leads to nothing there. Do not capture such references.
///
/// - *In debug builds* a spawn warns on standard error if it sees that the closure captures the address of a value on the
///   heap, and so finds most of what `Box::leak`, `String::leak` and the like return. It does not find references into the
///   middle of a value, nor to the contents of statics, nor all that stand beside other values; and it may take a number
///   for an address, which is why it stops nothing. Each process warns once; [`check_captures`](super::check_captures)
///   switches this off.
/// - *In release builds* nothing is checked, and nothing is paid for.
///
/// A child that is given such a reference nevertheless reads whatever lies there in its own memory, as a value of a type
/// that it is not. In Rust's terms its behaviour is undefined; it is confined to that process, which can compute
/// nonsense or trap. It cannot reach the memory of any other process, nor more than its own rights, nor the host, as
/// none of these trust what is in a guest's memory.
///
/// That is why spawning is a safe function, in spite of this hole: what Rust's `unsafe` protects, all memory of the program,
/// is protected by the walls between processes; the mistake takes a deliberate leak; and with an `unsafe` at every
/// spawn nobody could see the one that matters.
#[diagnostic::on_unimplemented(
    message = "this closure cannot be the entry of a process: it captures something that cannot be copied to \
               another memory",
    label = "captures a value that is not `Copy`, or not `Send`",
    note = "processes share no memory: the bytes of the closure are copied into the new process, so what it \
            captures must be `Copy + Send + 'static`",
    note = "to hand over a `String`, a `Vec` or any other message type, make a `Channel`, capture the channel (it \
            is `Copy`) and send the value through it",
    note = "or make the value inside the closure, or capture the plain numbers it is made from",
    note = "a struct of your own made of `Copy` values can be captured when it has `#[derive(Clone, Copy)]`"
)]
pub trait Capture: FnOnce() + Copy + Send + 'static {}

// Without this attribute the compiler explains the blanket implementation (`String: Copy` is not satisfied) and leaves
// out the text above, which says why and what to do.
#[diagnostic::do_not_recommend]
impl<F: FnOnce() + Copy + Send + 'static> Capture for F {}
