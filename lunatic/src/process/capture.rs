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
/// A `&'static` reference to a constant is the same in every process, because constants lie at the same place in each
/// memory. A `&'static` reference that was made at run time (with [`Box::leak`], or to a static that was changed) points
/// to something the child's memory does not have. Rust has no type that tells the two apart. Do not capture leaked
/// references: the child would read whatever lies there. It can still harm nobody but itself.
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
