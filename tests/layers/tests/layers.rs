//! The rules, on this checkout.

use lunatic_layers::{
    Tree, contract, cycles, documents, excerpts, limits, prose, sources, tower, unsafety, wasmtime_types,
};

#[track_caller]
fn check(rule: fn(&Tree) -> Vec<String>) {
    let violations = rule(&Tree::of_checkout());
    assert!(
        violations.is_empty(),
        "{} against the rule:\n\n{}\n",
        violations.len(),
        violations.join("\n\n")
    );
}

#[test]
fn the_crates_form_a_tower() {
    check(tower::check);
}

#[test]
fn no_cycle_of_files_is_large() {
    check(cycles::check);
}

#[test]
fn wasmtimes_types_stay_where_they_may() {
    check(wasmtime_types::check);
}

#[test]
fn the_list_of_unsafe_files_is_true() {
    check(unsafety::check);
}

#[test]
fn the_kernel_gets_time_and_chance_in_one_place() {
    check(sources::check);
}

#[test]
fn documents_name_files_that_exist() {
    check(documents::check);
}

#[test]
fn documents_are_written_in_plain_english() {
    check(prose::check);
}

#[test]
fn each_sentence_of_the_contract_has_a_test() {
    check(contract::check);
}

#[test]
fn each_limit_has_a_test() {
    check(limits::check);
}

#[test]
fn programs_that_documents_show_are_compiled() {
    check(excerpts::check);
}
