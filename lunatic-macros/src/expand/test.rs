//! `#[lunatic::test]`.
//!
//! On wasm32 a test becomes an exported function without parameters and results. Its name contains everything that the
//! test runner must know:
//!
//! | part | when |
//! |---|---|
//! | `#lunatic_test_` | always |
//! | `#ignore_` | the test is marked `#[ignore]` |
//! | `#panic_` text `#` | marked `#[should_panic]`; the text is what the message must contain, with `#` as `\#` |
//! | path of the module `::` name of the function | always |

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Expr, ExprLit, Item, ItemFn, Lit, LitStr, Meta, Token};

use super::call;
use crate::args::Args;
use crate::check::{self, Errors, Returns};

/// The name of the function in messages.
const SUBJECT: &str = "a test";

/// The reason that cargo's own test runner shows for ignoring the test, on targets without processes.
const IGNORED_BECAUSE: &str = "run with `cargo lunatic test`";

pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let args: Args = errors.unwrap_or_default(syn::parse2(args));
    let function = match syn::parse2::<Item>(item.clone()) {
        Ok(Item::Fn(function)) => function,
        Ok(other) => {
            errors.on(&other, "`#[lunatic::test]` belongs on a function");
            let errors = errors.into_error().map(syn::Error::into_compile_error);
            return quote!(#errors #item);
        }
        // The compiler reports syntax errors better than syn does.
        Err(_) => return item,
    };
    let test = Test::new(function, &mut errors);
    match errors.into_error() {
        Some(error) => error.into_compile_error(),
        None => test.expand(&args),
    }
}

/// A test function, and the information in its attributes.
struct Test {
    function: ItemFn,
    /// The `cfg` attributes, which apply to everything that the test expands to.
    cfgs: Vec<Attribute>,
    ignore: bool,
    /// The attribute `#[should_panic]`, and the text that the message must contain (empty: any message).
    should_panic: Option<(Attribute, String)>,
}

impl Test {
    /// Takes the test attributes off the function, and checks everything.
    fn new(mut function: ItemFn, errors: &mut Errors) -> Self {
        let mut attrs = Vec::new();
        let mut cfgs = Vec::new();
        let mut ignore = false;
        let mut should_panic = None;
        for attr in function.attrs.drain(..) {
            let path = attr.path();
            if path.is_ident("ignore") {
                ignore = true;
            } else if path.is_ident("should_panic") {
                if should_panic.is_some() {
                    errors.on(&attr, "`#[should_panic]` occurs here twice");
                }
                let expected = errors.unwrap_or_default(expected_message(&attr));
                should_panic = Some((attr, expected));
            } else if path.is_ident("test") {
                errors.on(&attr, "remove this: `#[lunatic::test]` alone makes it a test");
            } else if path.is_ident("cfg") {
                cfgs.push(attr);
            } else {
                attrs.push(attr);
            }
        }
        function.attrs = attrs;

        check::signature(&function.sig, SUBJECT, errors);
        if let Returns::Result(ty) = check::returns(&function.sig.output) {
            let can_be = check::result(ty, SUBJECT, errors);
            if let (true, Some((attr, _))) = (can_be, &should_panic) {
                errors.on(
                    attr,
                    "a test that returns a `Result` cannot be expected to panic: unwrap inside it",
                );
            }
        }
        Self {
            function,
            cfgs,
            ignore,
            should_panic,
        }
    }

    fn expand(&self, args: &Args) -> TokenStream {
        let Self { function, cfgs, .. } = self;
        let ItemFn { attrs, vis, sig, block } = function;
        let name = &sig.ident;
        let krate = &args.krate;
        let call = call(name, &check::returns(&sig.output), krate, &format_ident!("fail_test"));
        let should_panic = self.should_panic.as_ref().map(|(attr, _)| {
            let meta = &attr.meta;
            quote!(, #meta)
        });
        let [before, after] = self.export_name();
        quote! {
            #(#cfgs)*
            #[cfg(test)]
            #[cfg_attr(
                not(target_arch = "wasm32"),
                ::core::prelude::v1::test, ignore = #IGNORED_BECAUSE #should_panic
            )]
            #vis fn #name() {
                #(#attrs)*
                #sig #block
                #call
                #krate::__private::end_test();
            }

            #(#cfgs)*
            #[cfg(all(test, target_arch = "wasm32"))]
            const _: () = {
                #[allow(unsafe_code)]
                #[unsafe(export_name = concat!(#before, module_path!(), #after))]
                extern "C" fn test() {
                    #name()
                }
            };
        }
    }

    /// The parts before and after the path of the module in the name of the exported function.
    fn export_name(&self) -> [String; 2] {
        let mut before = String::from("#lunatic_test_");
        if self.ignore {
            before.push_str("#ignore_");
        }
        if let Some((_, expected)) = &self.should_panic {
            before.push_str("#panic_");
            before.push_str(&expected.replace('#', "\\#"));
            before.push('#');
        }
        [before, format!("::{}", plain_name(&self.function))]
    }
}

/// The name of a function without `r#`.
fn plain_name(function: &ItemFn) -> String {
    let name = function.sig.ident.to_string();
    name.strip_prefix("r#").map(str::to_owned).unwrap_or(name)
}

/// The text that the message must contain, from `#[should_panic]`, `#[should_panic = "…"]` or
/// `#[should_panic(expected = "…")]`.
fn expected_message(attr: &Attribute) -> syn::Result<String> {
    match &attr.meta {
        Meta::Path(_) => Ok(String::new()),
        Meta::NameValue(meta) => match &meta.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text), ..
            }) => Ok(text.value()),
            other => Err(syn::Error::new_spanned(
                other,
                "the expected part of the panic message must be a string",
            )),
        },
        Meta::List(list) => list.parse_args::<Expected>().map(|expected| expected.0.value()),
    }
}

/// `expected = "…"`.
struct Expected(LitStr);

impl Parse for Expected {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name: syn::Ident = input.parse()?;
        if name != "expected" {
            return Err(syn::Error::new_spanned(
                name,
                "only `expected = \"part of the message\"` is allowed here",
            ));
        }
        input.parse::<Token![=]>()?;
        let text = input.parse()?;
        input.parse::<Option<Token![,]>>()?;
        match input.is_empty() {
            true => Ok(Self(text)),
            false => Err(input.error("only `expected = \"part of the message\"` is allowed here")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(item: &str) -> String {
        expand(TokenStream::new(), item.parse().unwrap()).to_string()
    }

    #[test]
    fn names_tell_the_runner_what_to_do() {
        let check = |attrs: &str, before: &str| {
            let code = expanded(&format!("{attrs} fn works() {{}}"));
            let expected = format!("concat ! ({before:?} , module_path ! () , \"::works\")");
            assert!(code.contains(&expected), "no `{expected}` in {code}");
        };
        check("", "#lunatic_test_");
        check("#[ignore]", "#lunatic_test_#ignore_");
        check("#[ignore = \"slow\"]", "#lunatic_test_#ignore_");
        check("#[should_panic]", "#lunatic_test_#panic_#");
        check("#[should_panic = \"no\"]", "#lunatic_test_#panic_no#");
        check("#[should_panic(expected = \"a #1\",)]", "#lunatic_test_#panic_a \\#1#");
        check(
            "#[should_panic(expected = \"no\")] #[ignore]",
            "#lunatic_test_#ignore_#panic_no#",
        );
        assert!(expanded("fn r#match() {}").contains("\"::match\""));
    }

    #[test]
    fn other_targets_ignore_it() {
        let code = expanded("#[should_panic(expected = \"no\")] #[allow(unused)] fn works() { work() }");
        for part in [
            ":: core :: prelude :: v1 :: test , ignore = \"run with `cargo lunatic test`\" , should_panic (expected = \"no\")",
            "fn works () { # [allow (unused)] fn works () { work () }",
        ] {
            assert!(code.contains(part), "no `{part}` in {code}");
        }
    }

    #[test]
    fn cfgs_apply_to_all() {
        let code = expanded("#[cfg(unix)] fn works() {}");
        assert_eq!(code.matches("# [cfg (unix)]").count(), 2, "{code}");
    }

    #[test]
    fn mistakes_are_reported_together() {
        let check = |item: &str, messages: &[&str]| {
            let code = expanded(item);
            for message in messages {
                assert!(code.contains(message), "no `{message}` in {code}");
            }
            assert_eq!(code.matches("compile_error").count(), messages.len(), "{code}");
        };
        check("struct NoTest;", &["belongs on a function"]);
        check("#[test] async fn both() {}", &["remove this", "cannot be `async`"]);
        check(
            "#[should_panic] fn both() -> Result<(), String> { Ok(()) }",
            &["cannot be expected to panic"],
        );
        check(
            "#[should_panic(message = \"x\")] fn odd(a: u8) {}",
            &["only `expected", "takes no arguments"],
        );
        check("#[should_panic = 7] fn odd() {}", &["must be a string"]);
        check("#[should_panic] #[should_panic] fn odd() {}", &["twice"]);
    }
}
