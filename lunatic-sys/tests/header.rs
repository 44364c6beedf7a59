//! Keeps `include/lunatic/abi.h` in agreement with the sources of this crate.
//!
//! The header is printed from the sources, including their documentation. The test fails if the file differs; with
//! `LUNATIC_BLESS=1` in the environment it writes the file instead.

#[path = "header/contract.rs"]
mod contract;
#[path = "header/print.rs"]
mod print;

use std::path::Path;

use contract::Contract;

fn contract() -> Contract {
    Contract::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

#[test]
fn the_header_is_what_the_sources_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/lunatic/abi.h");
    let printed = print::header(&contract());
    if std::env::var_os("LUNATIC_BLESS").is_some() {
        std::fs::write(&file, &printed).unwrap();
    }
    let header = std::fs::read_to_string(&file).unwrap();
    let differs = printed
        .lines()
        .zip(header.lines())
        .find(|(printed, there)| printed != there);
    assert!(
        printed == header,
        "abi.h is out of date, first at {differs:?}: run this test with LUNATIC_BLESS=1"
    );
}

/// The parser must not skip anything: its results are counted in another way, and some values are compared with those
/// that the compiler computes.
#[test]
fn the_sources_are_read_in_full() {
    use lunatic_sys::codes;

    let contract = contract();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for namespace in &contract.namespaces {
        let file = namespace.name.rsplit("::").next().unwrap();
        let source = std::fs::read_to_string(folder.join(file).with_extension("rs")).unwrap();
        let (_, block) = source.split_once("imports! {").unwrap();
        let (block, _) = block.split_once("\n}").unwrap();
        assert_eq!(namespace.functions.len(), block.matches("    fn ").count(), "{file}");
    }
    assert_eq!(
        contract.namespaces.len(),
        15,
        "a new namespace: does the header have all of it?"
    );
    let source = std::fs::read_to_string(folder.join("codes.rs")).unwrap();
    let of_codes = contract.constants.iter().filter(|constant| constant.file == "codes");
    assert_eq!(of_codes.count(), source.matches("pub const ").count());
    for (name, value) in [
        ("OK", codes::OK.into()),
        ("NOT_CHANGED", codes::NOT_CHANGED.into()),
        ("IO_ERROR", codes::IO_ERROR.into()),
        ("EXIT_HOST_BUG", codes::exit::HOST_BUG.into()),
        ("TRAP_BAD_CALL", codes::trap::BAD_CALL.into()),
        ("SPAWN_NEW_SCOPE", codes::spawn::NEW_SCOPE.into()),
        ("REFERENCE_BIT", codes::REFERENCE_BIT.into()),
        ("NO_TIMEOUT", codes::NO_TIMEOUT.into()),
        ("STATE_LEN_MAX", codes::STATE_LEN_MAX as i128),
        ("LOG_TRACE", lunatic_sys::log::TRACE.into()),
        ("METRICS_HISTOGRAM", lunatic_sys::metrics::HISTOGRAM.into()),
        ("RECORD_LEN_MAX", lunatic_sys::record::RECORD_LEN_MAX as i128),
    ] {
        let found = contract.constants.iter().find(|constant| constant.name() == name);
        assert_eq!(found.map(|constant| constant.value), Some(value), "{name}");
    }
    assert_eq!(contract.layouts.len(), 8, "a new layout: is its size in the header?");
}
