//! What a closure can carry into a new process.

/// A closure that can be copied into the memory of another process. Do not implement this trait: the compiler
/// implements it for each closure that qualifies.
///
/// Every process has its own memory. The bytes of a closure are copied from the parent's memory to the child's, so they
/// must have the same meaning there:
///
/// | captured | compiles | instead |
/// |---|---|---|
/// | numbers, `bool`, `char`, arrays, tuples, structs that are `Copy` | yes | |
/// | [`Process`](crate::Process) and [`Channel`](crate::Channel) handles | yes | |
/// | functions, string literals and references to constants | yes | |
/// | `String`, `Vec`, and other messages | no: not [`Copy`] | pass it to [`spawn_with`](crate::Process::spawn_with), or send it through a channel |
/// | `Rc`, `Arc`, `File`, … | no: not [`Copy`] | make it inside |
/// | `&local`, `&mut local` | no: not `'static` | capture a copy with `move` |
/// | raw pointers, `Rc<T>` by reference | no: not [`Send`] | |
///
/// # What the compiler cannot check
///
/// A `&'static` reference to a constant, a string literal or a static means the same in every process, because these
/// values lie at the same address in each memory. A `&'static` reference to the heap, such as [`Box::leak`] returns,
/// does not: the child has its own heap, and another value, or none, lies at that address. Rust has no type that
/// distinguishes the two.
///
/// The same problem exists with a static that was filled at run time, such as a [`OnceLock`](std::sync::OnceLock). In
/// the child it is empty again, so a reference to its *contents* is not valid there.
///
/// Do not capture such references.
///
/// - *In debug builds*, a spawn writes a warning to standard error if the closure seems to capture the address of a
///   value on the heap. This finds most references that `Box::leak`, `String::leak` and similar functions return. It
///   does not find references into the middle of a value, references to the contents of statics, and some references
///   that lie next to other captured values. It can also mistake a number for an address, so it only warns and never
///   fails the spawn. Each process warns once; [`check_captures`](super::check_captures) switches the check off.
/// - *In release builds* there is no check and no cost.
///
/// If a child uses such a reference, it interprets whatever lies at that address in its own memory as a value of the
/// wrong type. In Rust's terms this is undefined behaviour, but it is confined to that process, which can compute wrong
/// results or trap. The process cannot reach the memory of another process or of the host, nor exceed its rights,
/// because neither the host nor other processes trust the contents of a guest's memory.
///
/// This is why spawning is a safe function in spite of the hole. Rust's `unsafe` protects all memory of a program, and
/// here the isolation between processes does so. The mistake requires a deliberate leak. And if every spawn needed an
/// `unsafe`, the one that matters would go unnoticed.
#[diagnostic::on_unimplemented(
    message = "this closure cannot be the entry of a process: it captures something that cannot be copied to \
               another memory",
    label = "captures a value that is not `Copy`, or not `Send`",
    note = "processes share no memory: the bytes of the closure are copied into the new process, so what it \
            captures must be `Copy + Send + 'static`",
    note = "to give the process a `String`, a `Vec` or any other message, pass it as an argument: \
            `Process::spawn_with(value, |value| …)`; or make a `Channel`, capture the channel (it is `Copy`) and send the \
            value through it",
    note = "or make the value inside the closure, or capture the plain numbers it is made from",
    note = "a struct of your own made of `Copy` values can be captured when it has `#[derive(Clone, Copy)]`"
)]
pub trait Capture: FnOnce() + Copy + Send + 'static {}

// Without this attribute the compiler explains the blanket implementation (`String: Copy` is not satisfied) and omits
// the text above, which gives the reason and a solution.
#[diagnostic::do_not_recommend]
impl<F: FnOnce() + Copy + Send + 'static> Capture for F {}

/// A function or closure without arguments, with which a process begins. Do not implement this trait: the compiler
/// implements it for every `FnOnce()`.
///
/// It exists only for a clear error. A process runs ordinary code that may block, so an `async` block is no entry.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the entry of a process: it is not a function or closure without arguments",
    label = "no closure",
    note = "write a closure, such as `move || …`",
    note = "in place of an `async` block, write a closure that blocks: receiving, reading and sleeping hold up no other \
            process, so there is nothing to `.await`; to wait for a result, use `Task::spawn(|| …)` and `join`"
)]
pub trait Entry: FnOnce() {}

// As above.
#[diagnostic::do_not_recommend]
impl<F: FnOnce()> Entry for F {}
