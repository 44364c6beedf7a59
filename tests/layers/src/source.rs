//! What a file says that the rules ask about: what it defines, imports and names, and where it is `unsafe`.
//!
//! Code that is compiled only for tests is left out.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, Meta, UseTree, Visibility};

/// What one module says: a file, or a module inside a file.
#[derive(Default)]
pub(crate) struct Text {
    /// The names of the items that are defined here, modules left out.
    pub(crate) items: BTreeSet<String>,
    pub(crate) uses: Vec<Use>,
    pub(crate) mentions: Vec<Mention>,
    pub(crate) children: Vec<Child>,
    /// Lines with a block, function, trait or implementation that is `unsafe`.
    pub(crate) unsafe_lines: Vec<usize>,
}

/// One name that a `use` brings.
pub(crate) struct Use {
    /// What is imported, without the `*` of a glob.
    pub(crate) path: Vec<String>,
    /// What it is called here, or `None` for a glob.
    pub(crate) name: Option<String>,
    /// Whether others can import it from here.
    pub(crate) is_reexport: bool,
    pub(crate) line: usize,
}

/// A path that code names.
pub(crate) struct Mention {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

/// A module that is declared here.
pub(crate) struct Child {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) body: Body,
}

pub(crate) enum Body {
    Inline(Text),
    /// In a file of its own, perhaps one that an attribute `path` names.
    File(Option<String>),
}

/// Reads a file. One that is only for tests says nothing.
///
/// # Errors
///
/// If it is not Rust.
pub(crate) fn read(text: &str) -> Result<Text, syn::Error> {
    let file = syn::parse_file(text)?;
    let mut reader = Reader::default();
    if !is_for_tests(&file.attrs) {
        reader.visit_file(&file);
    }
    Ok(reader.text)
}

#[derive(Default)]
struct Reader {
    text: Text,
}

impl Reader {
    fn define(&mut self, name: &syn::Ident) {
        self.text.items.insert(name.to_string());
    }

    fn mention(&mut self, path: Vec<String>, line: usize) {
        self.text.mentions.push(Mention { path, line });
    }

    fn note_unsafe(&mut self, token: Option<&syn::Token![unsafe]>) {
        self.text.unsafe_lines.extend(token.map(|token| line_of(token)));
    }

    fn import(&mut self, tree: &UseTree, start: &[String], is_reexport: bool) {
        let line = line_of(tree);
        let add = |reader: &mut Reader, mut path: Vec<String>, name: Option<String>| {
            // `use module::{self}` imports the module.
            path.pop_if(|last| last == "self" && !start.is_empty());
            reader.text.uses.push(Use {
                path,
                name,
                is_reexport,
                line,
            });
        };
        let longer = |ident: &syn::Ident| [start, &[ident.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &longer(&path.ident), is_reexport),
            UseTree::Group(group) => group
                .items
                .iter()
                .for_each(|tree| self.import(tree, start, is_reexport)),
            UseTree::Glob(_) => add(self, start.to_vec(), None),
            UseTree::Rename(rename) => add(self, longer(&rename.ident), Some(rename.rename.to_string())),
            UseTree::Name(name) if name.ident == "self" => add(self, longer(&name.ident), start.last().cloned()),
            UseTree::Name(name) => add(self, longer(&name.ident), Some(name.ident.to_string())),
        }
    }

    /// Reads what a macro is given, or expands to, which need not be Rust: all that looks like a path is one.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let is = |at: usize, punctuation: char| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == punctuation);
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.scan(group.stream()),
                TokenTree::Ident(ident) if ident == "unsafe" => {
                    let begins_unsafe = match tokens.get(at + 1) {
                        Some(TokenTree::Group(block)) => block.delimiter() == Delimiter::Brace,
                        Some(TokenTree::Ident(item)) => ["fn", "impl", "trait"].iter().any(|kind| item == kind),
                        _ => false,
                    };
                    if begins_unsafe {
                        self.text.unsafe_lines.push(ident.span().start().line);
                    }
                }
                TokenTree::Ident(ident) if at == 0 || !is(at - 1, '.') => {
                    let mut path = vec![ident.to_string()];
                    while is(at + 1, ':') && is(at + 2, ':') {
                        let Some(TokenTree::Ident(next)) = tokens.get(at + 3) else {
                            break;
                        };
                        path.push(next.to_string());
                        at += 3;
                    }
                    self.mention(path, ident.span().start().line);
                }
                _ => {}
            }
            at += 1;
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_for_tests(attributes(item)) {
            return;
        }
        match item {
            Item::Const(item) => self.define(&item.ident),
            Item::Enum(item) => self.define(&item.ident),
            Item::Fn(item) => self.define(&item.sig.ident),
            Item::Static(item) => self.define(&item.ident),
            Item::Struct(item) => self.define(&item.ident),
            Item::Trait(item) => self.define(&item.ident),
            Item::TraitAlias(item) => self.define(&item.ident),
            Item::Type(item) => self.define(&item.ident),
            Item::Union(item) => self.define(&item.ident),
            Item::Macro(item) => item.ident.iter().for_each(|ident| self.define(ident)),
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let body = match &module.content {
            Some((_, items)) => {
                let mut inner = Reader::default();
                items.iter().for_each(|item| inner.visit_item(item));
                Body::Inline(inner.text)
            }
            None => Body::File(path_attribute(&module.attrs)),
        };
        self.text.children.push(Child {
            name: module.ident.to_string(),
            line: line_of(&module.ident),
            body,
        });
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&item.tree, &[], !matches!(item.vis, Visibility::Inherited));
    }

    // Declares what is elsewhere: whoever calls it is `unsafe`.
    fn visit_item_foreign_mod(&mut self, module: &'ast syn::ItemForeignMod) {
        for item in &module.items {
            match item {
                syn::ForeignItem::Fn(function) => self.define(&function.sig.ident),
                syn::ForeignItem::Static(item) => self.define(&item.ident),
                _ => {}
            }
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.note_unsafe(item.unsafety.as_ref());
        visit::visit_item_impl(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.note_unsafe(item.unsafety.as_ref());
        visit::visit_item_trait(self, item);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.note_unsafe(signature.unsafety.as_ref());
        visit::visit_signature(self, signature);
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.note_unsafe(Some(&block.unsafe_token));
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !is_for_tests(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !is_for_tests(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_expr_block(&mut self, block: &'ast syn::ExprBlock) {
        if !is_for_tests(&block.attrs) {
            visit::visit_expr_block(self, block);
        }
    }

    fn visit_field_value(&mut self, value: &'ast syn::FieldValue) {
        if !is_for_tests(&value.attrs) {
            visit::visit_field_value(self, value);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.mention(
            path.segments.iter().map(|segment| segment.ident.to_string()).collect(),
            line_of(path),
        );
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        visit::visit_macro(self, call);
        self.scan(call.tokens.clone());
    }

    // Who may see an item is no use of the module that may.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

fn line_of(node: &dyn Spanned) -> usize {
    node.span().start().line
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("path") => match &meta.value {
            syn::Expr::Lit(syn::ExprLit {
                lit: syn::Lit::Str(path),
                ..
            }) => Some(path.value()),
            _ => None,
        },
        _ => None,
    })
}

/// Whether what has these attributes is compiled only for tests.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("cfg") => list
            .parse_args()
            .is_ok_and(|condition: Meta| !Condition::of(&condition).may_hold),
        _ => false,
    })
}

/// What a condition of `cfg` can come to if nothing is known but that this is no test.
struct Condition {
    may_hold: bool,
    may_fail: bool,
}

impl Condition {
    fn of(condition: &Meta) -> Condition {
        let unknown = Condition {
            may_hold: true,
            may_fail: true,
        };
        match condition {
            Meta::Path(path) if path.is_ident("test") => Condition {
                may_hold: false,
                may_fail: true,
            },
            Meta::List(list) => {
                let parser = syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated;
                let Ok(parts) = list.parse_args_with(parser) else {
                    return unknown;
                };
                let parts: Vec<_> = parts.iter().map(Condition::of).collect();
                if list.path.is_ident("not") && parts.len() == 1 {
                    Condition {
                        may_hold: parts[0].may_fail,
                        may_fail: parts[0].may_hold,
                    }
                } else if list.path.is_ident("all") {
                    Condition {
                        may_hold: parts.iter().all(|part| part.may_hold),
                        may_fail: parts.iter().any(|part| part.may_fail),
                    }
                } else if list.path.is_ident("any") {
                    Condition {
                        may_hold: parts.iter().any(|part| part.may_hold),
                        may_fail: parts.iter().all(|part| part.may_fail),
                    }
                } else {
                    unknown
                }
            }
            _ => unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_told_one_by_one() {
        let text = read("use a::{self, b::C as D, e::*};\npub(crate) use super::f;\nfn g() { use h::I; }").unwrap();
        let uses: Vec<_> = text
            .uses
            .iter()
            .map(|used| (used.path.join("::"), used.name.as_deref(), used.is_reexport, used.line))
            .collect();
        assert_eq!(
            uses,
            [
                ("a".to_owned(), Some("a"), false, 1),
                ("a::b::C".to_owned(), Some("D"), false, 1),
                ("a::e".to_owned(), None, false, 1),
                ("super::f".to_owned(), Some("f"), true, 2),
                ("h::I".to_owned(), Some("I"), false, 3),
            ]
        );
    }

    fn mentions(text: &str, path: &str) -> bool {
        read(text)
            .unwrap()
            .mentions
            .iter()
            .any(|mention| mention.path.join("::").starts_with(path))
    }

    #[test]
    fn paths_are_found_wherever_code_names_them() {
        for text in [
            "fn f() { a::b::c(); }",
            "type T = Vec<a::b::c>;",
            "impl a::b::c for X {}",
            "fn f() { <X as a::b::c>::g() }",
            "fn f() { assert!(x.iter().all(|y| matches!(y, a::b::c))) }",
            "macro_rules! m { () => { $x.y(a::b::c) } }",
        ] {
            assert!(mentions(text, "a::b::c"), "{text}");
        }
        assert!(!mentions("fn f() { m!(x.field) }", "field"));
        assert!(!mentions("pub(crate) fn f() {}", "crate"));
    }

    #[test]
    fn code_that_only_tests_have_is_left_out() {
        for (attribute, is_left_out) in [
            ("#[cfg(test)]", true),
            ("#[test]", true),
            ("#[cfg(all(test, unix))]", true),
            ("#[cfg(not(not(test)))]", true),
            ("#[cfg(any(test, unix))]", false),
            ("#[cfg(not(test))]", false),
            ("#[cfg(unix)]", false),
        ] {
            assert_eq!(
                !mentions(&format!("{attribute} fn f() {{ a::b() }}"), "a::b"),
                is_left_out,
                "{attribute}"
            );
        }
        assert!(!mentions("#![cfg(test)]\nfn f() { a::b() }", "a::b"));
        assert!(!mentions("struct S { #[cfg(test)] x: a::b }", "a::b"));
        assert!(read("#[cfg(test)] mod tests;").unwrap().children.is_empty());
    }

    #[test]
    fn all_that_is_unsafe_is_found() {
        for (text, lines) in [
            ("fn f() {\n unsafe { g() }\n}", vec![2]),
            ("unsafe fn f() {}", vec![1]),
            ("unsafe impl Send for X {}", vec![1]),
            ("impl X {\n unsafe fn f() {}\n}", vec![2]),
            ("fn f() { assert!(unsafe { g() }) }", vec![1]),
            ("macro_rules! m { () => { unsafe fn f() {} } }", vec![1]),
            ("unsafe extern \"C\" { fn f(); }", vec![]),
            ("#[unsafe(no_mangle)] fn f() {}", vec![]),
            ("#[cfg(test)] mod tests { fn f() { unsafe { g() } } }", vec![]),
        ] {
            assert_eq!(read(text).unwrap().unsafe_lines, lines, "{text}");
        }
    }
}
