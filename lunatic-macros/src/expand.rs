//! The code that the attributes expand to.

pub(crate) mod main;
pub(crate) mod test;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Ident, Path, Type};

use crate::check::Returns;

/// A call of `function`. If it returns an error, that is passed to the function `fail` of the crate `krate`.
///
/// `let result: Result<(), _>` has the span of the return type, so that the compiler reports a wrong type there.
fn call(function: &Ident, returns: &Returns<'_>, krate: &Path, fail: &Ident) -> TokenStream {
    let Returns::Result(ty) = returns else {
        return quote!(#function(););
    };
    let call = on_type(ty, quote!(#function()));
    let described = on_type(ty, quote!((&&&&#krate::__private::Described(&error)).text()));
    quote! {
        let result: ::core::result::Result<(), _> = #call;
        if let ::core::result::Result::Err(error) = result {
            #[allow(unused_imports)]
            use #krate::__private::{ByAsError, ByAsSyncError, ByDebug, ByDisplay, ByError};
            #krate::__private::#fail(#described)
        }
    }
}

/// The tokens with the span of a type, but with the hygiene of the call site.
fn on_type(ty: &Type, tokens: TokenStream) -> TokenStream {
    let span = ty.span().resolved_at(proc_macro2::Span::call_site());
    let respanned = tokens.into_iter().map(|mut token| {
        token.set_span(span);
        token
    });
    let respanned: TokenStream = respanned.collect();
    quote_spanned!(span=> #respanned)
}
