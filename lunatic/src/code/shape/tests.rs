//! Types of two versions, and whether messages of one are read by the other.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU8;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Shape;
use crate::mailbox::ReplyTo;
use crate::{Channel, Process};

fn conflict<Old: DeserializeOwned, New: DeserializeOwned>() -> Option<String> {
    let (old, new) = (Shape::of::<Old>(), Shape::of::<New>());
    // It travels as bytes.
    let old: Shape = rmp_serde::from_slice(&rmp_serde::to_vec(&old).unwrap()).unwrap();
    assert_eq!(old.conflict(&old), None);
    old.conflict(&new)
}

/// The types of a version: two modules of this form have types of the same names.
macro_rules! version {
    ($name:ident { $($item:item)* }) => {
        #[allow(dead_code, reason = "only their shapes matter")]
        mod $name {
            use super::*;
            $(#[derive(Serialize, Deserialize)] $item)*
        }
    };
}

version!(first {
    pub(super) enum Call { Get(ReplyTo<u64>), Set { key: String, value: u8, inner: Inner }, Clear }
    pub(super) struct Inner { kind: Kind, more: Option<Vec<(u8, Kind)>> }
    pub(super) enum Kind { Small(u8), Large(u32), None }
    pub(super) struct Tree { name: String, children: Vec<Tree>, parent: Option<Box<Tree>>, last: u8 }
    pub(super) enum Expression { Sum(Box<Expression>, Box<Expression>), Negated { of: Box<Expression> }, Number(i64) }
    pub(super) struct Page<T> { items: Vec<T>, next: u32 }
    pub(super) struct Pages { numbers: Page<u8>, texts: Page<String> }
    pub(super) struct Strict { first: NonZeroU8, second: u16 }
});

version!(second {
    pub(super) enum Call { Get(ReplyTo<u64>), Set { key: String, value: u8, inner: Inner }, Clear, Added(u8) }
    pub(super) struct Inner { kind: Kind, more: Option<Vec<(u8, Kind)>> }
    pub(super) enum Kind { Small(u8), Large(u64), None }
    pub(super) struct Tree { name: String, children: Vec<Tree>, parent: Option<Box<Tree>>, last: u16 }
    pub(super) enum Expression { Sum(Box<Expression>, Box<Expression>), Negated { of: Box<Expression> }, Number(i32) }
    pub(super) struct Page<T> { items: Vec<T>, next: u32 }
    pub(super) struct Pages { numbers: Page<u8>, texts: Page<char> }
    pub(super) struct Strict { first: NonZeroU8, second: u32 }
});

#[test]
fn the_same_types_have_the_same_shape() {
    type Everything = (
        bool,
        i128,
        f32,
        char,
        String,
        Vec<u8>,
        (),
        [u16; 3],
        HashMap<u8, BTreeMap<String, Option<u64>>>,
    );
    assert_eq!(conflict::<Everything, Everything>(), None);
    assert_eq!(conflict::<first::Call, first::Call>(), None);
    assert_eq!(conflict::<first::Expression, first::Expression>(), None);
    assert_eq!(conflict::<first::Tree, first::Tree>(), None);
    // What `Deserialize` reads counts, not what it makes of it.
    assert_eq!(conflict::<String, Box<str>>(), None);
    assert_eq!(conflict::<Vec<u8>, std::collections::VecDeque<u8>>(), None);
}

#[test]
fn a_change_is_found_however_deep_it_is() {
    let changed = |found: Option<String>| found.expect("this is a conflict");
    assert_eq!(changed(conflict::<u8, i8>()), "u8, and now i8");
    assert_eq!(
        changed(conflict::<(u8, u8), (u8, u8, u8)>()),
        "2 values, and now 3 values"
    );
    assert_eq!(changed(conflict::<Option<u8>, u8>()), "an Option, and now u8");
    assert_eq!(
        changed(conflict::<HashMap<u8, Option<(u8, u64)>>, HashMap<u8, Option<(u8, f64)>>>()),
        "`1`: u64, and now f64"
    );
    // In the second variant of an enum in a struct in a variant.
    assert_eq!(
        changed(conflict::<first::Call, second::Call>()),
        "`Set.inner.kind.Large.0`: u32, and now u64"
    );
    assert_eq!(
        changed(conflict::<first::Tree, second::Tree>()),
        "`last`: u8, and now u16"
    );
    assert_eq!(
        changed(conflict::<first::Expression, second::Expression>()),
        "`Number.0`: i64, and now i32"
    );
    // Each instance of a generic type counts for itself.
    assert_eq!(
        changed(conflict::<first::Pages, second::Pages>()),
        "`texts.items`: text, and now char"
    );
}

#[test]
fn handles_are_told_apart_by_what_they_are_for() {
    let found = conflict::<ReplyTo<u64>, ReplyTo<String>>().expect("the answer has changed");
    assert!(
        found.contains("ReplyTo<u64>, and now") && found.ends_with("ReplyTo<alloc::string::String>"),
        "{found}"
    );
    assert!(conflict::<Channel<u8>, Channel<u16>>().is_some());
    assert_eq!(conflict::<(Channel<u8>, Process), (Channel<u8>, Process)>(), None);
}

version!(before {
    pub(super) enum Call { Get(u8), Put { key: u8 } }
    pub(super) struct Named { first: u8, second: u8 }
});
version!(inserted {
    pub(super) enum Call { Reset(u8), Get(u8), Put { key: u8 } }
    pub(super) struct Named { second: u8, first: u8 }
});
version!(grown {
    pub(super) enum Call { Get(u8), Put { key: u8, value: u8 } }
    pub(super) struct Named { first: u8, second: u8, third: u8 }
});
version!(appended {
    pub(super) enum Call { Get(u8), Put { key: u8 }, Reset }
});

#[test]
fn variants_may_only_be_added_or_removed_at_the_end() {
    assert_eq!(conflict::<before::Call, appended::Call>(), None);
    assert_eq!(conflict::<appended::Call, before::Call>(), None);
    assert_eq!(
        conflict::<before::Call, inserted::Call>().as_deref(),
        Some(
            "variant 0 was `Get`, and now is `Reset` (if only its name has changed, add `#[serde(rename = \"Get\")]`)"
        )
    );
    assert_eq!(
        conflict::<before::Call, grown::Call>().as_deref(),
        Some("`Put`: it had no field `value`, and now has one")
    );
    assert_eq!(
        conflict::<before::Named, inserted::Named>().as_deref(),
        Some(
            "field 0 was `first`, and now is `second` (if only its name has changed, add `#[serde(rename = \"first\")]`)"
        )
    );
    assert_eq!(
        conflict::<grown::Named, before::Named>().as_deref(),
        Some("it had a field `third`, and now has none")
    );
    assert_eq!(
        conflict::<before::Named, before::Call>().as_deref(),
        Some("a struct, and now an enum")
    );
}

version!(renamed {
    pub(super) enum Call { #[serde(rename = "Get")] Fetch(u8), Put { #[serde(rename = "key")] number: u8 } }
});

#[test]
fn a_variant_can_have_another_name_in_the_source() {
    assert_eq!(conflict::<before::Call, renamed::Call>(), None);
}

#[test]
fn what_a_type_does_not_show_is_not_compared() {
    // `NonZeroU8` rejects the 0 that it is given, so `second` is never read.
    assert_eq!(conflict::<first::Strict, second::Strict>(), None);
}

#[test]
fn types_without_end_come_to_an_end() {
    #[derive(Serialize, Deserialize)]
    struct Endless {
        inner: Box<Endless>,
    }
    assert_eq!(conflict::<Endless, Endless>(), None);
    #[derive(Serialize, Deserialize)]
    enum Here {
        There(Box<There>),
        Both(Box<Here>, Box<There>),
    }
    #[derive(Serialize, Deserialize)]
    enum There {
        Here(Box<Here>),
        Both(Box<There>, Box<Here>),
    }
    assert_eq!(conflict::<Here, Here>(), None);
    assert!(conflict::<Here, There>().is_some());
}

/// Enums whose variants each contain two values of the enum, except for one, with as many variants before and after it as
/// there are names.
macro_rules! branching {
    ($name:ident: $($before:ident)* / $($after:ident)*) => {
        #[derive(Serialize, Deserialize)]
        enum $name<T> {
            $($before(Box<$name<T>>, Box<$name<T>>),)*
            Number(T),
            $($after(Box<$name<T>>, Box<$name<T>>),)*
        }
    };
}

#[test]
fn a_type_that_branches_in_many_ways_is_read_soon() {
    branching!(First: / A B C D E F G H I J K L M N O P Q R S T U V W X Y Z A1 B1 C1 D1);
    branching!(Middle: A B C D E F G H I J K L M N O / P Q R S T U V W X Y Z A1 B1 C1 D1);
    branching!(Last: A B C D E F G H I J K L M N O P Q R S T U V W X Y Z A1 B1 C1 D1 /);
    // More variants than types may be nested.
    branching!(Many: A B C D E F G H I J K L M N O P Q R S U V W X Y Z A1 B1 C1 D1 E1 F1 G1 H1 I1 J1 K1 L1 M1 N1 O1 P1 Q1 R1 S1 T1
        U1 V1 W1 X1 Y1 Z1 A2 B2 C2 D2 E2 F2 G2 H2 I2 J2 K2 L2 M2 N2 O2 P2 Q2 R2 S2 T2 U2 V2 W2 X2 Y2 Z2 /);
    for found in [
        conflict::<First<i64>, First<u64>>(),
        conflict::<Middle<i64>, Middle<u64>>(),
        conflict::<Last<i64>, Last<u64>>(),
        conflict::<Many<i64>, Many<u64>>(),
    ] {
        assert_eq!(found.as_deref(), Some("`Number.0`: i64, and now u64"));
    }
    // Each leads to the other, and only one of them ends.
    #[derive(Serialize, Deserialize)]
    enum Expression<T> {
        Both(Box<Statement<T>>, Box<Statement<T>>),
        All(Box<Statement<T>>, Box<Expression<T>>, Box<Statement<T>>),
        Some(Vec<Expression<T>>, Box<Statement<T>>),
    }
    #[derive(Serialize, Deserialize)]
    enum Statement<T> {
        Both(Box<Expression<T>>, Box<Expression<T>>),
        Three(Box<Statement<T>>, Box<Expression<T>>, Box<Statement<T>>),
        End { last: T },
    }
    assert_eq!(
        conflict::<Expression<u8>, Expression<u16>>().as_deref(),
        Some("`Both.0.End.last`: u8, and now u16")
    );
}
