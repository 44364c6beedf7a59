use std::sync::Arc;

use wasmtime::{Config, Engine, Instance, Linker, Memory, MemoryType, Module, ResourceLimiter, Store, Trap};

use super::budget::MEMORY_CHARGE;
use super::*;
use crate::testing::{kernel_maps, resident_bytes, run_alone};

const WASM_PAGE: usize = 64 << 10;
const GIB: usize = 1 << 30;

/// Peeks, pokes, grows, fills.
const GUEST: &str = r#"(module
    (memory (export "memory") 1)
    (data (i32.const 16) "image")
    (func (export "load8") (param i32) (result i32) (i32.load8_u (local.get 0)))
    (func (export "load32") (param i32) (result i32) (i32.load (local.get 0)))
    (func (export "load32_far") (param i32) (result i32) (i32.load offset=65536 (local.get 0)))
    (func (export "load8_farthest") (param i32) (result i32) (i32.load8_u offset=0xffffffff (local.get 0)))
    (func (export "store64") (param i32) (result i32) (i64.store (local.get 0) (i64.const -1)) (i32.const 0))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "fill") (param i32) (result i32)
        (memory.fill (i32.const 0) (i32.const 7) (local.get 0)) (i32.const 0)))"#;

#[derive(Debug, Clone)]
enum Layout {
    Fast(Arc<FastMemories>),
    Dense(Arc<DenseMemories>),
}

impl Layout {
    fn engine(&self) -> Engine {
        let mut config = Config::new();
        match self {
            Layout::Fast(memories) => memories.configure(&mut config),
            Layout::Dense(memories) => memories.configure(&mut config),
        }
        Engine::new(&config).unwrap()
    }

    fn taken(&self) -> u32 {
        match self {
            Layout::Fast(memories) => memories.taken(),
            Layout::Dense(memories) => memories.taken(),
        }
    }
}

fn both(budget: &Arc<MemoryBudget>) -> [Layout; 2] {
    [
        Layout::Fast(FastMemories::new(8, budget.clone()).unwrap()),
        Layout::Dense(DenseMemories::new(budget.clone()).unwrap()),
    ]
}

/// A guest, with a limiter that keeps the last reason why its memory did not grow.
struct Guest {
    store: Store<Limiter>,
    instance: Instance,
}

#[derive(Default)]
struct Limiter {
    failure: Option<String>,
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.failure = Some(error.to_string());
        Ok(())
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

impl Guest {
    fn new(engine: &Engine, text: &str) -> wasmtime::Result<Guest> {
        let module = Module::new(engine, text)?;
        let mut store = Store::new(engine, Limiter::default());
        store.limiter(|limiter| limiter);
        let instance = Linker::new(engine).instantiate(&mut store, &module)?;
        Ok(Guest { store, instance })
    }

    /// Calls a function; `None` when it traps for being out of bounds.
    fn call(&mut self, name: &str, argument: u32) -> Option<u32> {
        let function = self.instance.get_typed_func::<u32, u32>(&mut self.store, name).unwrap();
        match function.call(&mut self.store, argument) {
            Ok(result) => Some(result),
            Err(error) => {
                assert_eq!(
                    error.downcast_ref::<Trap>(),
                    Some(&Trap::MemoryOutOfBounds),
                    "{name}({argument}): {error}"
                );
                None
            }
        }
    }

    fn grow(&mut self, pages: u32) -> Option<u32> {
        self.call("grow", pages).filter(|old| *old != u32::MAX)
    }

    fn memory(&mut self) -> Memory {
        self.instance.get_memory(&mut self.store, "memory").unwrap()
    }

    fn bytes(&mut self) -> &mut [u8] {
        let memory = self.memory();
        memory.data_mut(&mut self.store)
    }
}

/// The accesses around the end of a memory: all up to it succeed, all beyond it trap.
fn check_bounds(guest: &mut Guest) {
    let size = guest.bytes().len() as u64;
    let ends = [
        ("load8", 0, 1),
        ("load32", 0, 4),
        ("store64", 0, 8),
        ("load32_far", 65536, 4),
    ];
    for (name, offset, width) in ends {
        let candidates = (0..12)
            .map(|beyond| (size + beyond).saturating_sub(offset + width))
            .chain([size, u64::from(u32::MAX), 1 << 31]);
        for address in candidates.filter_map(|address| u32::try_from(address).ok()) {
            let within = u64::from(address) + offset + width <= size;
            assert_eq!(
                guest.call(name, address).is_some(),
                within,
                "{name}({address}) of {size} bytes"
            );
        }
    }
    let within = u64::from(u32::MAX) < size;
    assert_eq!(guest.call("load8_farthest", 0).is_some(), within);
    assert_eq!(guest.call("load8_farthest", 1), None);
}

#[test]
fn accesses_trap_exactly_beyond_the_end_before_and_after_growth() {
    let budget = MemoryBudget::new(usize::MAX);
    for layout in both(&budget) {
        let mut guest = Guest::new(&layout.engine(), GUEST).unwrap();
        for growth in [0, 1, 1, 1, 30, 100, 1000] {
            guest.grow(growth).unwrap();
            check_bounds(&mut guest);
        }
    }
}

#[test]
fn a_memory_grows_to_all_that_32_bits_address() {
    let budget = MemoryBudget::new(usize::MAX);
    for layout in both(&budget) {
        let mut guest = Guest::new(&layout.engine(), GUEST).unwrap();
        assert_eq!(guest.grow(65535), Some(1));
        check_bounds(&mut guest);
        assert_eq!(guest.grow(1), None);
        assert_eq!(guest.grow(65536), None);
        assert_eq!(guest.bytes().len(), 4 * GIB);
    }
}

#[test]
fn growth_keeps_what_is_there_and_adds_zeros() {
    let budget = MemoryBudget::new(usize::MAX);
    for layout in both(&budget) {
        let mut guest = Guest::new(&layout.engine(), GUEST).unwrap();
        let mut expected = guest.bytes().to_vec();
        assert_eq!(&expected[16..21], b"image");
        let mut moves = 0;
        for growth in [1, 1, 2, 3, 5, 20, 50, 200] {
            // Something in every third page, so that some pages hold nothing.
            for (number, page) in guest.bytes().chunks_mut(3 * 4096).enumerate() {
                page[number % 4096] = number as u8;
            }
            for (number, page) in expected.chunks_mut(3 * 4096).enumerate() {
                page[number % 4096] = number as u8;
            }
            let before = guest.bytes().as_ptr();
            guest.grow(growth).unwrap();
            moves += usize::from(guest.bytes().as_ptr() != before);
            expected.resize(guest.bytes().len(), 0);
            assert!(guest.bytes() == expected, "{layout:?} grown by {growth}");
        }
        match layout {
            Layout::Fast(_) => assert_eq!(moves, 0),
            // 128, 256, 512 KiB, 1, 4, 8, 32 MiB
            Layout::Dense(_) => assert!((5..8).contains(&moves), "{moves} moves"),
        }
    }
}

#[test]
fn the_next_memory_finds_zeros() {
    let budget = MemoryBudget::new(usize::MAX);
    for layout in both(&budget) {
        let engine = layout.engine();
        let mut places = vec![];
        for growth in [100, 3, 0, 500] {
            let mut guest = Guest::new(&engine, GUEST).unwrap();
            places.push(guest.bytes().as_ptr());
            assert_eq!(layout.taken(), 1);
            guest.grow(growth).unwrap();
            let bytes = guest.bytes();
            assert_eq!(&bytes[16..21], b"image");
            assert!(
                bytes[..16].iter().chain(&bytes[21..]).all(|byte| *byte == 0),
                "{layout:?}"
            );
            let len = bytes.len() as u32;
            guest.call("fill", len).unwrap();
        }
        assert_eq!(layout.taken(), 0);
        assert!(
            places.windows(2).all(|pair| pair[0] == pair[1]),
            "the same slot each time: {places:?}"
        );
        assert_eq!(budget.used(), 0);
    }
}

#[test]
fn a_smaller_memory_in_a_slot_has_its_own_bounds() {
    let budget = MemoryBudget::new(usize::MAX);
    for layout in both(&budget) {
        let engine = layout.engine();
        let large = GUEST.replacen("1)", "20)", 1);
        for text in [&large, GUEST, &large] {
            let mut guest = Guest::new(&engine, text).unwrap();
            check_bounds(&mut guest);
        }
    }
}

#[test]
fn the_budget_ends_growth_and_new_memories_with_a_reason() {
    let budget = MemoryBudget::new(MEMORY_CHARGE * 2 + 3 * WASM_PAGE);
    for layout in both(&budget) {
        let engine = layout.engine();
        let mut a = Guest::new(&engine, GUEST).unwrap();
        let mut b = Guest::new(&engine, GUEST).unwrap();
        assert_eq!(layout.taken(), 2);
        assert_eq!(a.grow(4), None);
        assert_eq!(a.grow(2), Some(1));
        assert_eq!(b.grow(2), None);
        assert!(
            b.store
                .data()
                .failure
                .as_ref()
                .unwrap()
                .contains("has reached its limit")
        );
        assert_eq!(b.grow(1), Some(1));
        let error = Guest::new(&engine, GUEST).err().unwrap().to_string();
        assert!(
            error.contains("the memory of all processes together has reached its limit"),
            "{error}"
        );
        check_bounds(&mut b);
        drop(a);
        assert_eq!(b.grow(2), Some(2));
        assert_eq!(budget.used(), MEMORY_CHARGE + 3 * WASM_PAGE);
        drop(b);
        assert_eq!(budget.used(), 0);
    }
}

#[test]
fn a_memory_stays_within_its_types_maximum() {
    let budget = MemoryBudget::new(usize::MAX);
    for layout in both(&budget) {
        let mut guest = Guest::new(&layout.engine(), &GUEST.replacen("1)", "1 5)", 1)).unwrap();
        assert_eq!(guest.grow(5), None);
        assert_eq!(guest.grow(4), Some(1));
        assert_eq!(guest.grow(1), None);
        check_bounds(&mut guest);
    }
}

#[test]
fn an_empty_memory_traps_and_grows() {
    let budget = MemoryBudget::new(usize::MAX);
    for layout in both(&budget) {
        let text = GUEST
            .replacen("1)", "0)", 1)
            .replace("(data (i32.const 16) \"image\")", "");
        let mut guest = Guest::new(&layout.engine(), &text).unwrap();
        assert_eq!(guest.call("load8", 0), None);
        assert_eq!(guest.grow(1), Some(0));
        assert_eq!(guest.call("load8", 65535), Some(0));
        assert_eq!(guest.call("load8", 65536), None);
    }
}

#[test]
fn fast_memories_are_limited_in_number() {
    let memories = FastMemories::new(2, MemoryBudget::new(usize::MAX)).unwrap();
    let engine = Layout::Fast(memories.clone()).engine();
    let guests: Vec<Guest> = (0..2).map(|_| Guest::new(&engine, GUEST).unwrap()).collect();
    assert_eq!(memories.left(), 0);
    let error = Guest::new(&engine, GUEST).err().unwrap().to_string();
    assert!(
        error.contains("all 2 memories of the fast layout are in use"),
        "{error}"
    );
    drop(guests);
    assert_eq!((memories.left(), memories.taken()), (2, 0));
    assert!(Guest::new(&engine, GUEST).is_ok());
}

#[test]
fn a_creator_refuses_the_other_layouts_engine() {
    let budget = MemoryBudget::new(usize::MAX);
    let mut config = Config::new();
    FastMemories::new(2, budget.clone()).unwrap().configure(&mut config);
    config.with_host_memory(DenseMemories::new(budget.clone()).unwrap());
    let error = Guest::new(&Engine::new(&config).unwrap(), GUEST)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("configured for another memory layout"), "{error}");
    config.memory_reservation(8 << 30);
    config.with_host_memory(FastMemories::new(2, budget).unwrap());
    let error = Guest::new(&Engine::new(&config).unwrap(), GUEST)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("configured for another memory layout"), "{error}");
}

#[test]
fn a_memory_of_more_than_4_gib_is_refused() {
    let budget = MemoryBudget::new(usize::MAX);
    let dense = DenseMemories::new(budget.clone()).unwrap();
    let fast = FastMemories::new(1, budget.clone()).unwrap();
    let size = 4 * GIB + WASM_PAGE;
    assert!(matches!(
        dense.make(size, None, 0, 0),
        Err(MemoryError::TooLarge { .. })
    ));
    assert!(matches!(fast.make(size, 4 * GIB, 0), Err(MemoryError::TooLarge { .. })));
    assert_eq!((dense.taken(), fast.taken(), budget.used()), (0, 0, 0));
    let mut memory = dense.make(0, None, 0, 0).unwrap();
    assert!(wasmtime::LinearMemory::grow_to(&mut memory, size).is_err());
    drop(memory);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_dense_memory_gets_room_to_grow_unless_its_type_forbids_it() {
    let dense = DenseMemories::new(MemoryBudget::new(usize::MAX)).unwrap();
    let check = |minimum: usize, maximum: Option<usize>, class: usize| {
        let memory = dense.make(minimum, maximum, 0, 0).unwrap();
        assert_eq!(
            wasmtime::LinearMemory::byte_capacity(&memory),
            class,
            "{minimum} bytes of {maximum:?}"
        );
    };
    check(0, None, WASM_PAGE);
    check(0, Some(0), WASM_PAGE);
    check(WASM_PAGE, None, 2 * WASM_PAGE);
    check(WASM_PAGE, Some(WASM_PAGE), WASM_PAGE);
    check(17 * WASM_PAGE, None, 32 * WASM_PAGE);
    check(32 * WASM_PAGE, None, 64 * WASM_PAGE);
    check(32 * WASM_PAGE, Some(32 * WASM_PAGE), 32 * WASM_PAGE);
    check(4 * GIB - WASM_PAGE, None, 4 * GIB);
    check(4 * GIB, None, 4 * GIB);
}

#[test]
fn ten_thousand_memories_use_few_maps_and_give_their_memory_back() {
    run_alone("linear::tests::alone_ten_thousand_memories");
}

#[test]
#[ignore = "runs in a process of its own: counts maps and memory"]
fn alone_ten_thousand_memories() {
    let layout = Layout::Dense(DenseMemories::new(MemoryBudget::new(usize::MAX)).unwrap());
    let engine = layout.engine();
    let mut store = Store::new(&engine, ());
    Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
    let (maps, resident) = (kernel_maps(), resident_bytes());
    for _ in 0..10_000 {
        let memory = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
        memory.data_mut(&mut store)[5 * 4096] = 1;
        memory.grow(&mut store, 2).unwrap();
        memory.data_mut(&mut store)[20 * 4096] = 1;
    }
    assert!(
        kernel_maps() < maps + 100,
        "{maps} maps before, {} after",
        kernel_maps()
    );
    let full = resident_bytes();
    assert!(full > resident + 10_000 * 2 * 4096, "{resident} before, {full} after");
    drop(store);
    let left = resident_bytes();
    assert!(
        left < full - 10_000 * 2 * 4096 + (1 << 20),
        "{resident} before, {full} full, {left} after"
    );
}
