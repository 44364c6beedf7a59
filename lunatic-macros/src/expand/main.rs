//! `#[lunatic::main]`.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};
use syn::{Item, ItemFn};

use super::call;
use crate::args::Args;
use crate::check::{self, Errors, Returns};

/// The name of the function in messages.
const SUBJECT: &str = "the main function";

pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let args: Args = errors.unwrap_or_default(syn::parse2(args));
    let function = match syn::parse2::<Item>(item.clone()) {
        Ok(Item::Fn(function)) => function,
        Ok(other) => {
            errors.on(&other, "`#[lunatic::main]` belongs on `fn main()`");
            return failed(errors, item);
        }
        // The compiler reports syntax errors better than syn does.
        Err(_) => return item,
    };
    check(&function, &mut errors);
    match errors.into_error() {
        // The rest of the program is compiled with an empty main function, so that one mistake gives one report.
        Some(error) => {
            let error = error.into_compile_error();
            quote!(#error #[allow(dead_code)] fn main() {})
        }
        None => expand_function(&args, &function),
    }
}

fn failed(errors: Errors, item: TokenStream) -> TokenStream {
    let errors = errors.into_error().map(syn::Error::into_compile_error);
    quote!(#errors #item)
}

fn check(function: &ItemFn, errors: &mut Errors) {
    let sig = &function.sig;
    if sig.ident != "main" {
        errors.on(&sig.ident, "`#[lunatic::main]` belongs on the function named `main`");
    }
    check::signature(sig, SUBJECT, errors);
    if let Returns::Result(ty) = check::returns(&sig.output) {
        check::result(ty, SUBJECT, errors);
    }
}

fn expand_function(args: &Args, function: &ItemFn) -> TokenStream {
    let returns = check::returns(&function.sig.output);
    if matches!(returns, Returns::Nothing) {
        return function.to_token_stream();
    }
    let ItemFn { attrs, vis, sig, block } = function;
    let call = call(&sig.ident, &returns, &args.krate, &format_ident!("fail_main"));
    quote! {
        #vis fn main() {
            #(#attrs)*
            #sig #block
            #call
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_main_without_result_stays_as_it_is() {
        let item = quote!(
            pub fn main() {
                work();
            }
        );
        assert_eq!(expand(TokenStream::new(), item.clone()).to_string(), item.to_string());
    }

    #[test]
    fn a_main_with_result_is_wrapped() {
        let item = quote!(
            fn main() -> Result<(), String> {
                Ok(())
            }
        );
        let code = expand(quote!(crate = other), item.clone()).to_string();
        assert!(code.starts_with(&format!("fn main () {{ {item}")), "{code}");
        assert!(code.contains("other :: __private :: fail_main"), "{code}");
    }

    #[test]
    fn all_mistakes_are_reported_and_main_is_still_there() {
        let code = expand(
            quote!(fast),
            quote!(
                async fn start(a: u8) {}
            ),
        )
        .to_string();
        for message in [
            "unknown argument",
            "named `main`",
            "cannot be `async`",
            "takes no arguments",
        ] {
            assert!(code.contains(message), "no `{message}` in {code}");
        }
        assert!(code.ends_with("fn main () { }"), "{code}");
    }

    #[test]
    fn other_items_are_left_alone() {
        let item = quote!(
            struct Main;
        );
        let code = expand(TokenStream::new(), item.clone()).to_string();
        assert!(code.contains("belongs on `fn main()`"), "{code}");
        assert!(code.ends_with(&item.to_string()), "{code}");
    }
}
