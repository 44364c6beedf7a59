//! Why wasmtime stopped a guest, in plain words.

use crate::backtrace::Backtrace;
use lunatic_sys::codes;
use wasmtime::{ThrownException, Trap};

/// The addresses that a stack pointer becomes, with a small offset, when it has gone below zero: a guest's own stack,
/// which Rust and clang put at the very beginning of memory, has overflowed.
const BELOW_ZERO: std::ops::Range<u64> = (1 << 32) - (16 << 20)..(1 << 32) + (1 << 20);

/// The reason of a trap, or of an error with which a host function has ended the guest.
///
/// `stack_len` is the size of a process's stack in bytes, if known.
pub(crate) fn reason(error: &wasmtime::Error, backtrace: &Backtrace, stack_len: Option<usize>) -> String {
    match error.downcast_ref::<Trap>() {
        Some(trap) => plain(*trap, error, backtrace, stack_len),
        None if error.is::<ThrownException>() => "an exception was thrown and not caught".into(),
        None => chain(error),
    }
}

/// The number of a trap, one of [`codes::trap`].
pub(crate) fn code(error: &wasmtime::Error) -> i32 {
    match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => codes::trap::UNREACHABLE,
        Some(Trap::MemoryOutOfBounds) => codes::trap::OUT_OF_BOUNDS,
        Some(Trap::StackOverflow) => codes::trap::STACK_OVERFLOW,
        Some(Trap::IntegerOverflow | Trap::BadConversionToInteger) => codes::trap::OVERFLOW,
        Some(Trap::IntegerDivisionByZero) => codes::trap::DIVISION_BY_ZERO,
        Some(Trap::TableOutOfBounds | Trap::IndirectCallToNull | Trap::BadSignature) => codes::trap::BAD_CALL,
        _ => codes::trap::OTHER,
    }
}

fn plain(trap: Trap, error: &wasmtime::Error, backtrace: &Backtrace, stack_len: Option<usize>) -> String {
    match trap {
        Trap::UnreachableCodeReached if aborts(backtrace) => "the program called abort".into(),
        Trap::UnreachableCodeReached => "an `unreachable` instruction was executed".into(),
        Trap::MemoryOutOfBounds => out_of_bounds(fault(error), backtrace),
        Trap::StackOverflow => match stack_len {
            Some(len) => format!("stack overflow: the process used its whole stack of {} KB", len >> 10),
            None => "stack overflow: the process used its whole stack".into(),
        },
        Trap::IntegerDivisionByZero => "integer division by zero".into(),
        Trap::IntegerOverflow => "integer overflow in a division or a conversion".into(),
        Trap::BadConversionToInteger => "a float that is not a number was converted to an integer".into(),
        Trap::TableOutOfBounds => {
            "a function pointer that does not refer to a function was called (beyond the function table)".into()
        }
        Trap::IndirectCallToNull => "a null function pointer was called".into(),
        Trap::BadSignature => "a function pointer was called as if it had another type".into(),
        Trap::HeapMisaligned => "an atomic instruction on an address that is not aligned".into(),
        Trap::Interrupt => "the process was interrupted".into(),
        Trap::OutOfFuel => "the process used up its fuel".into(),
        // Traps of rarely used proposals: in wasmtime's own words.
        other => other.to_string().trim_start_matches("wasm trap: ").into(),
    }
}

fn aborts(backtrace: &Backtrace) -> bool {
    backtrace.frames.first().is_some_and(|frame| frame.function == "abort")
}

fn out_of_bounds(fault: Option<(u64, u64)>, backtrace: &Backtrace) -> String {
    let stack = match fault {
        Some((address, _)) => BELOW_ZERO.contains(&address),
        None => true,
    };
    let at = match fault {
        Some((address, len)) => {
            format!("out-of-bounds memory access at address {address:#x}, the memory ends at {len:#x}")
        }
        None => "out-of-bounds memory access".into(),
    };
    match stack && backtrace.is_recursion() {
        true => format!("stack overflow: endless or too deep recursion ({at})"),
        false => at,
    }
}

/// The accessed address and the size of the memory, if a guard page caught the access.
fn fault(error: &wasmtime::Error) -> Option<(u64, u64)> {
    // Wasmtime has no type for this, only this text.
    error.chain().find_map(|cause| fault_in(&cause.to_string()))
}

fn fault_in(text: &str) -> Option<(u64, u64)> {
    let rest = text.strip_prefix("memory fault at wasm address 0x")?;
    let (address, rest) = rest.split_once(" in linear memory of size 0x")?;
    Some((
        u64::from_str_radix(address, 16).ok()?,
        u64::from_str_radix(rest.trim(), 16).ok()?,
    ))
}

/// An error and its causes, without the backtrace that wasmtime adds as one of them.
fn chain(error: &wasmtime::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if !text.starts_with("error while executing at wasm backtrace:") && !text.is_empty() && !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_faults() {
        #[track_caller]
        fn check(text: &str, expected: Option<(u64, u64)>) {
            assert_eq!(fault_in(text), expected);
        }
        check(
            "memory fault at wasm address 0xfff00000 in linear memory of size 0x110000",
            Some((0xfff0_0000, 0x11_0000)),
        );
        check(
            "memory fault at wasm address 0x in linear memory of size 0x110000",
            None,
        );
        check("memory fault", None);
    }

    #[test]
    fn errors_of_host_functions() {
        let error = wasmtime::Error::msg("inner").context("outer");
        assert_eq!(reason(&error, &Backtrace::default(), None), "outer: inner");
    }
}
