//! The arguments of an attribute.

use syn::parse::{Parse, ParseStream};
use syn::{Path, Token, parse_quote};

/// The arguments that both attributes accept: `crate = path`, or nothing.
pub(crate) struct Args {
    /// The path of the crate `lunatic`.
    pub(crate) krate: Path,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            krate: parse_quote!(::lunatic),
        }
    }
}

impl Parse for Args {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.is_empty() {
            return Ok(Self::default());
        }
        if !input.peek(Token![crate]) {
            return Err(input.error("unknown argument: only `crate = path` is allowed here"));
        }
        input.parse::<Token![crate]>()?;
        input.parse::<Token![=]>()?;
        let krate = input.call(Path::parse_mod_style)?;
        input.parse::<Option<Token![,]>>()?;
        if input.is_empty() {
            Ok(Self { krate })
        } else {
            Err(input.error("unexpected token after the path"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::ToTokens;

    fn check(input: &str, expected: Result<&str, &str>) {
        let found = syn::parse_str::<Args>(input)
            .map(|args| args.krate.to_token_stream().to_string())
            .map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{input}");
    }

    #[test]
    fn only_the_crate_can_be_named() {
        check("", Ok(":: lunatic"));
        check("crate = renamed", Ok("renamed"));
        check("crate = crate::deep::er,", Ok("crate :: deep :: er"));
        check("flavor", Err("unknown argument: only `crate = path` is allowed here"));
        check("crate", Err("expected `=`"));
        check("crate = a b", Err("unexpected token after the path"));
    }
}
