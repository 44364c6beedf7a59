//! Checks of the function that carries an attribute. Each check adds its errors, so that all are reported together.

use quote::ToTokens;
use syn::{ReturnType, Signature, Type};

/// The errors found so far.
#[derive(Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    /// Adds an error whose span is that of `tokens`.
    pub(crate) fn on(&mut self, tokens: impl ToTokens, message: &str) {
        self.add(syn::Error::new_spanned(tokens, message));
    }

    /// Adds an error.
    pub(crate) fn add(&mut self, error: syn::Error) {
        match &mut self.0 {
            None => self.0 = Some(error),
            Some(all) => all.combine(error),
        }
    }

    /// Returns the value of `result`; or adds its error and returns a default.
    pub(crate) fn unwrap_or_default<T: Default>(&mut self, result: syn::Result<T>) -> T {
        result.unwrap_or_else(|error| {
            self.add(error);
            T::default()
        })
    }

    /// Returns all errors as one, if there are any.
    pub(crate) fn into_error(self) -> Option<syn::Error> {
        self.0
    }
}

/// Checks the requirements that both attributes have for a signature. `subject` names the function in messages.
pub(crate) fn signature(sig: &Signature, subject: &str, errors: &mut Errors) {
    if let Some(token) = sig.constness {
        errors.on(token, &format!("{subject} cannot be `const`: it runs in a process"));
    }
    if let Some(token) = sig.asyncness {
        errors.on(
            token,
            &format!(
                "{subject} cannot be `async`: a process that waits blocks no other process, so call blocking functions directly"
            ),
        );
    }
    if let Some(token) = sig.unsafety {
        errors.on(
            token,
            &format!("{subject} cannot be `unsafe`: its caller could not uphold the safety requirements"),
        );
    }
    if let Some(abi) = &sig.abi {
        errors.on(abi, &format!("{subject} cannot have an ABI of another language"));
    }
    if !sig.generics.params.is_empty() {
        errors.on(
            &sig.generics,
            &format!("{subject} cannot be generic: its caller could not choose the types"),
        );
    }
    if !sig.inputs.is_empty() {
        errors.on(&sig.inputs, &format!("{subject} takes no arguments"));
    }
    if let Some(variadic) = &sig.variadic {
        errors.on(variadic, &format!("{subject} takes no arguments"));
    }
}

/// The return type of a function, as far as tokens show.
pub(crate) enum Returns<'a> {
    /// Nothing: `()`, never, or no type at all.
    Nothing,
    /// A type that must be a `Result<(), E>`.
    Result(&'a Type),
}

/// Classifies the return type of a function.
pub(crate) fn returns(output: &ReturnType) -> Returns<'_> {
    match output {
        ReturnType::Default => Returns::Nothing,
        ReturnType::Type(_, ty) => match &**ty {
            Type::Never(_) => Returns::Nothing,
            Type::Tuple(tuple) if tuple.elems.is_empty() => Returns::Nothing,
            ty => Returns::Result(ty),
        },
    }
}

/// Checks that a return type can be a `Result<(), E>`. Aliases cannot be resolved here, so only a type that can never
/// be a `Result` is an error; the compiler checks the rest. Returns whether it can be one.
pub(crate) fn result(ty: &Type, subject: &str, errors: &mut Errors) -> bool {
    let can_be = matches!(ty, Type::Path(_) | Type::Macro(_) | Type::Paren(_) | Type::Group(_));
    if !can_be {
        errors.on(ty, &format!("{subject} returns nothing or a `Result<(), E>`"));
    }
    can_be
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sig: &str, expected: &[&str]) {
        let sig: Signature = syn::parse_str(sig).unwrap();
        let mut errors = Errors::default();
        signature(&sig, "it", &mut errors);
        if let Returns::Result(ty) = returns(&sig.output) {
            result(ty, "it", &mut errors);
        }
        let found: Vec<String> = errors
            .into_error()
            .into_iter()
            .flatten()
            .map(|error| error.to_string())
            .collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found} is not {expected}");
        }
    }

    #[test]
    fn signatures() {
        check("fn main()", &[]);
        check("fn main() -> ()", &[]);
        check("fn main() -> !", &[]);
        check("fn main() -> Result<(), String>", &[]);
        check("fn main() -> anyhow::Result<()>", &[]);
        check("fn main() -> (u8, u8)", &["it returns nothing or a `Result<(), E>`"]);
        check("fn main() -> impl Sized", &["it returns nothing or a `Result<(), E>`"]);
        check("async fn main()", &["it cannot be `async`"]);
        check("const fn main()", &["it cannot be `const`"]);
        check("unsafe fn main()", &["it cannot be `unsafe`"]);
        check("extern \"C\" fn main()", &["it cannot have an ABI"]);
        check("fn main<T>(t: T)", &["it cannot be generic", "it takes no arguments"]);
        check(
            "async unsafe fn main(a: u8, b: u8) -> [u8; 2]",
            &[
                "it cannot be `async`",
                "it cannot be `unsafe`",
                "it takes no arguments",
                "it returns nothing",
            ],
        );
    }
}
