//! Random modules and the states that they leave, for tests that compare a used instance with a fresh one.

use wasm_smith::{Config, InstructionKind, InstructionKinds, Module};
use wasmtime::{Engine, Instance, Store, Val};

use super::facts::Facts;
use super::rewrite::RewriteError;

/// How often a generated module may repeat a loop or enter a function before it traps.
const STEPS_MAX: u32 = 1000;

/// Makes a valid module from random bytes; the same bytes make the same module.
///
/// It imports nothing, exports everything that it defines, has one memory (not larger than 4 MiB), and ends by itself:
/// an exported mutable global counts down, and at zero the module traps. `None` if there are too few bytes.
pub(crate) fn self_contained_module(random: &[u8]) -> Option<Vec<u8>> {
    let (kind, random) = random.split_first()?;
    let random_bits = |mask: u8| kind & mask;
    let config = Config {
        max_imports: 0,
        min_memories: 1,
        max_memory32_bytes: 4 << 20,
        memory_max_size_required: true,
        max_table_elements: 1000,
        table_max_size_required: true,
        export_everything: true,
        min_types: 3,
        min_funcs: 5,
        min_globals: 2,
        min_exports: 1,
        max_exports: 1000,
        // Modules that trap, or are not recyclable, are needed, too, but not most of the time.
        disallow_traps: random_bits(0b110) != 0,
        allow_start_export: random_bits(0b1_1001) == 0,
        reference_types_enabled: random_bits(0b1110_0000) == 0,
        exceptions_enabled: random_bits(0b1110_0000) == 0,
        allowed_instructions: if random_bits(1) == 0 {
            InstructionKinds::all()
        } else {
            state_instructions()
        },
        canonicalize_nans: true,
        ..allowed_features()
    };
    let mut module = Module::new(config, &mut arbitrary::Unstructured::new(random)).ok()?;
    module.ensure_termination(STEPS_MAX).ok()?;
    Some(module.to_bytes())
}

/// Instructions that read and write memory and globals, and those needed to reach them.
fn state_instructions() -> InstructionKinds {
    use InstructionKind::{Control, Memory, NumericInt, Parametric, Variable};
    InstructionKinds::new(&[Control, Memory, NumericInt, Parametric, Variable])
}

/// Makes a valid module from random bytes that may import and export anything that a Lunatic guest could.
pub(crate) fn any_module(random: &[u8]) -> Option<Vec<u8>> {
    let (kind, random) = random.split_first()?;
    let config = Config {
        reference_types_enabled: kind & 1 == 1,
        generate_custom_sections: kind & 2 == 2,
        max_tables: usize::from(kind >> 2 & 3),
        min_uleb_size: 1 + (kind >> 4 & 3),
        ..allowed_features()
    };
    Some(
        Module::new(config, &mut arbitrary::Unstructured::new(random))
            .ok()?
            .to_bytes(),
    )
}

/// [`features`](super::rewrite::features) in terms of wasm-smith.
fn allowed_features() -> Config {
    Config {
        threads_enabled: false,
        memory64_enabled: false,
        gc_enabled: false,
        // With more, one of them almost always carries a reference.
        max_tags: 1,
        custom_page_sizes_enabled: false,
        shared_everything_threads_enabled: false,
        wide_arithmetic_enabled: false,
        custom_descriptors_enabled: false,
        max_memories: 1,
        ..Config::default()
    }
}

/// Rewrites a generated module; `None` if its exceptions carry references, which wasm-smith cannot be configured to
/// leave out.
pub(crate) fn rewrite_generated(wasm: &[u8]) -> Option<super::rewrite::Rewritten> {
    match super::rewrite::rewrite(wasm) {
        Ok(rewritten) => Some(rewritten),
        Err(RewriteError::Unsupported { message, .. }) if message.contains("carries a reference") => None,
        Err(error) => panic!("a generated module was refused: {error}"),
    }
}

/// A wasmtime engine with the same features as the rewriter's.
pub(crate) fn engine() -> Engine {
    let mut config = wasmtime::Config::new();
    config
        .wasm_tail_call(true)
        .wasm_extended_const(true)
        .wasm_relaxed_simd(true)
        .relaxed_simd_deterministic(true);
    // The modules are small and run once, so compile quickly.
    config
        .cranelift_opt_level(wasmtime::OptLevel::None)
        .parallel_compilation(false);
    config.max_wasm_stack(128 << 10);
    Engine::new(&config).expect("the configuration is valid")
}

/// The state that a process can leave in an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) memory: Vec<u8>,
    /// The mutable globals of the module, as bits, in the order of [`Facts::globals`].
    pub(crate) globals: Vec<u128>,
}

impl State {
    /// The state of an instance of a rewritten module, whose memory is exported as `memory`, or under the name that
    /// wasm-smith has given it.
    pub(crate) fn of<T: 'static>(store: &mut Store<T>, instance: Instance, facts: &Facts) -> Self {
        let memory = memory(store, instance).data(&*store).to_vec();
        let globals = facts.globals.iter().map(|name| {
            let global = instance.get_global(&mut *store, name).expect("the rewriter exports it");
            bits(&global.get(&mut *store))
        });
        Self {
            memory,
            globals: globals.collect(),
        }
    }

    /// Restores this state in an instance whose memory is not smaller: bytes beyond the state's end become zero.
    pub(crate) fn restore<T: 'static>(&self, store: &mut Store<T>, instance: Instance, facts: &Facts) {
        let memory = memory(store, instance).data_mut(&mut *store);
        let (known, grown) = memory.split_at_mut(self.memory.len());
        known.copy_from_slice(&self.memory);
        grown.fill(0);
        for (name, bits) in facts.globals.iter().zip(&self.globals) {
            let global = instance.get_global(&mut *store, name).expect("the rewriter exports it");
            let value = match global.ty(&*store).content() {
                wasmtime::ValType::I32 => Val::I32(*bits as i32),
                wasmtime::ValType::I64 => Val::I64(*bits as i64),
                wasmtime::ValType::F32 => Val::F32(*bits as u32),
                wasmtime::ValType::F64 => Val::F64(*bits as u64),
                _ => Val::V128((*bits).into()),
            };
            global
                .set(&mut *store, value)
                .expect("the global is mutable and of this type");
        }
    }
}

fn memory<T: 'static>(store: &mut Store<T>, instance: Instance) -> wasmtime::Memory {
    let found = instance.exports(&mut *store).find_map(wasmtime::Export::into_memory);
    found.expect("the module exports its memory")
}

/// The bits of a value; for a reference, 1 if it is set and 0 if it is null.
pub(crate) fn bits(value: &Val) -> u128 {
    match value {
        Val::I32(value) => u128::from(*value as u32),
        Val::I64(value) => u128::from(*value as u64),
        Val::F32(value) => u128::from(*value),
        Val::F64(value) => u128::from(*value),
        Val::V128(value) => value.as_u128(),
        Val::FuncRef(value) => u128::from(value.is_some()),
        _ => 0,
    }
}

/// Calls every listed function, with zeros and then with other numbers, and returns the result of each call: the bits
/// of its results, or `None` if it trapped.
///
/// If `facts` list the module's globals, each call may take as many steps as the first one.
pub(crate) fn call_everything<T: 'static>(
    store: &mut Store<T>,
    instance: Instance,
    names: &[String],
    facts: &Facts,
) -> Vec<Option<Vec<u128>>> {
    let calls = [0, 0x3_0041]
        .into_iter()
        .flat_map(|number| names.iter().map(move |name| (name, number)));
    let call = |(name, number): (&String, i32)| {
        // The generator puts its counter after all other globals.
        if let Some(steps) = facts.globals.last() {
            let steps = instance
                .get_global(&mut *store, steps)
                .expect("the rewriter exports it");
            steps
                .set(&mut *store, Val::I32(STEPS_MAX as i32))
                .expect("the counter is a mutable i32");
        }
        let function = instance.get_func(&mut *store, name).expect("the module exports it");
        let ty = function.ty(&*store);
        let arguments: Vec<Val> = ty.params().map(|ty| value(&ty, number)).collect();
        let mut results: Vec<Val> = ty.results().map(|ty| value(&ty, 0)).collect();
        function.call(&mut *store, &arguments, &mut results).ok()?;
        Some(results.iter().map(bits).collect())
    };
    calls.map(call).collect()
}

/// A number as a value of type `ty`; null if that is a reference type.
fn value(ty: &wasmtime::ValType, number: i32) -> Val {
    match ty {
        wasmtime::ValType::I32 => Val::I32(number),
        wasmtime::ValType::I64 => Val::I64(number.into()),
        wasmtime::ValType::F32 => Val::F32((number as f32).to_bits()),
        wasmtime::ValType::F64 => Val::F64(f64::from(number).to_bits()),
        wasmtime::ValType::V128 => Val::V128((number as u128).into()),
        wasmtime::ValType::Ref(_) => Val::FuncRef(None),
    }
}
