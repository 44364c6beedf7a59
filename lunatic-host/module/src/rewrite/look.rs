//! A check of each function for shapes that take compilers disproportionately long.
//!
//! The time to compile a function usually grows with its size, but not for some shapes. To bring locals into SSA form,
//! a compiler may have to follow each of them through each place where control flow joins, and it knows least at the
//! head of a loop: 3,000 nested loops with 1,000 locals are 50 KB of code and three million values. And an instruction
//! of two bytes can pass 1,000 values to a function, a block or a branch. So the number of values in these places is
//! limited.
//!
//! The limits are far above what compilers produce: each is listed with the largest number in 311,513 functions (Rust
//! with and without optimisation, C, SQLite). The validator already limits other numbers: 1,000,000 functions,
//! 7,654,321 bytes of one body, 50,000 locals, 1,000 parameters and 1,000 results of one function.
//!
//! Functions that pass can still take long, but not disproportionately. A host that compiles for strangers also needs a
//! time limit.

use wasmparser::{BlockType, FuncType, FunctionBody, Operator, Result};

use super::RewriteError;

/// The deepest nesting of blocks. Compilers: 279.
const NESTING_MAX: u64 = 50_000;
/// The most locals at the heads of loops: each loop counts all locals of the function. Compilers: 4,611.
const AT_LOOPS_MAX: u64 = 1_000_000;
/// The most locals at blocks, loops and conditions. Compilers: 451,774.
const AT_BLOCKS_MAX: u64 = 256_000_000;
/// The most values that calls, blocks and branches pass. Compilers: 1,406.
const PASSED_MAX: u64 = 10_000_000;

/// The types of a module, which say how many values an instruction passes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Types<'a> {
    pub(super) types: &'a [FuncType],
    /// The type of every function, imported ones first.
    pub(super) functions: &'a [u32],
}

impl Types<'_> {
    fn params(&self, function: u32) -> u64 {
        let ty = self.functions.get(function as usize);
        ty.and_then(|ty| self.types.get(*ty as usize))
            .map_or(0, |ty| ty.params().len() as u64)
    }

    /// The number of parameters and results of a type.
    fn values(&self, ty: u32) -> u64 {
        let count = |ty: &FuncType| ty.params().len() + ty.results().len();
        self.types.get(ty as usize).map_or(0, count) as u64
    }

    fn values_of_block(&self, ty: BlockType) -> u64 {
        match ty {
            BlockType::Empty => 0,
            BlockType::Type(_) => 1,
            BlockType::FuncType(ty) => self.values(ty),
        }
    }
}

/// The check of one function.
#[derive(Debug)]
pub(super) struct Look<'a> {
    types: Types<'a>,
    function: u32,
    locals: u64,
    nesting: u64,
    nesting_max: u64,
    at_loops: u64,
    at_blocks: u64,
    passed: u64,
    /// The most values that a block takes and returns.
    block_values_max: u64,
}

impl<'a> Look<'a> {
    /// Starts the check with the locals, which precede the code.
    pub(super) fn new(types: Types<'a>, function: u32, body: &FunctionBody<'_>) -> Result<Self> {
        let mut locals = types.params(function);
        for group in body.get_locals_reader()? {
            let (count, _) = group?;
            locals += u64::from(count);
        }
        Ok(Self {
            types,
            function,
            locals,
            nesting: 0,
            nesting_max: 0,
            at_loops: 0,
            at_blocks: 0,
            passed: 0,
            block_values_max: 0,
        })
    }

    pub(super) fn see(&mut self, operator: &Operator<'_>) {
        match operator {
            Operator::Block { blockty } | Operator::If { blockty } => self.enter(*blockty),
            Operator::Loop { blockty } => {
                self.enter(*blockty);
                self.at_loops += self.locals + self.types.values_of_block(*blockty);
            }
            Operator::TryTable { try_table } => {
                self.enter(try_table.ty);
                // Each of them is a branch.
                self.passed += try_table.catches.len() as u64 * self.block_values_max;
            }
            // The last one ends the function itself.
            Operator::End => self.nesting = self.nesting.saturating_sub(1),
            Operator::Br { .. } | Operator::BrIf { .. } | Operator::BrOnNull { .. } | Operator::BrOnNonNull { .. } => {
                self.passed += self.block_values_max;
            }
            Operator::BrTable { targets } => self.passed += u64::from(targets.len()) * self.block_values_max,
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                let ty = self.types.functions.get(*function_index as usize);
                self.passed += ty.map_or(0, |ty| self.types.values(*ty));
            }
            Operator::CallIndirect { type_index, .. }
            | Operator::ReturnCallIndirect { type_index, .. }
            | Operator::CallRef { type_index }
            | Operator::ReturnCallRef { type_index } => {
                self.passed += self.types.values(*type_index);
            }
            _ => {}
        }
    }

    fn enter(&mut self, ty: BlockType) {
        self.nesting += 1;
        self.nesting_max = self.nesting_max.max(self.nesting);
        let values = self.types.values_of_block(ty);
        self.at_blocks += self.locals;
        self.passed += values;
        self.block_values_max = self.block_values_max.max(values);
    }

    /// Returns what is disproportionate, if anything is.
    pub(super) fn judge(&self) -> Option<RewriteError> {
        let counts = [
            ("blocks in each other", self.nesting_max, NESTING_MAX),
            (
                "locals in its loops, counted for each loop",
                self.at_loops,
                AT_LOOPS_MAX,
            ),
            (
                "locals in its blocks, counted for each block",
                self.at_blocks,
                AT_BLOCKS_MAX,
            ),
            (
                "values passed by its calls, blocks and branches",
                self.passed,
                PASSED_MAX,
            ),
        ];
        let (what, found, max) = counts.into_iter().find(|(_, found, max)| found > max)?;
        Some(RewriteError::TooComplex {
            function: self.function,
            what,
            found,
            max,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RewriteError, rewrite};

    /// Checks a module with a function of this code: what is out of proportion, if anything should be.
    fn check(text: &str, expected: Option<&str>) {
        let wasm = wat::parse_str(format!("(module {text})")).unwrap();
        match (rewrite(&wasm), expected) {
            (Ok(_), None) => {}
            (
                Err(RewriteError::TooComplex {
                    function: 1,
                    what,
                    found,
                    max,
                }),
                Some(expected),
            ) => {
                assert!(what.starts_with(expected) && found > max, "{found} {what}");
            }
            (result, _) => panic!("{result:?} in place of {expected:?}"),
        }
    }

    fn nested(instruction: &str, count: usize) -> String {
        format!("{}{}", format!("{instruction} ").repeat(count), "end ".repeat(count))
    }

    #[test]
    fn what_explodes_is_told_from_what_is_only_large() {
        let many = |ty: &str| format!("{ty} ").repeat(1000);
        let locals = |count: usize| "(local i32)".repeat(count);
        let deep = |count| format!("(func) (func {})", nested("block", count));
        check(&deep(50_000), None);
        check(&deep(50_001), Some("blocks in each other"));
        let loops = |count| format!("(func) (func {} {})", locals(1000), nested("loop", count));
        check(&loops(1000), None);
        check(&loops(3000), Some("locals in its loops"));
        // Parameters are locals, too, and what a loop takes is as bad.
        let loops = nested("loop", 1001);
        check(
            &format!("(func) (func (param {}) {loops})", many("i32")),
            Some("locals in its loops"),
        );
        let takes = format!("(type $t (func (param {0}) (result {0})))", many("i32"));
        let given = "i32.const 0 ".repeat(1000);
        let loops = nested("loop (type $t)", 501);
        check(
            &format!("{takes} (func) (func {given} {loops} {})", "drop ".repeat(1000)),
            Some("locals in its loops"),
        );
        let ifs = |count: usize| format!("(func) (func {} {})", locals(20_000), "block end ".repeat(count));
        check(&ifs(12_000), None);
        check(&ifs(13_000), Some("locals in its blocks"));
        // Two bytes pass a thousand values.
        let calls = |count: usize| {
            format!(
                "(func $f (param {0}) (result {0}) unreachable) (func {given} {1} {2})",
                many("i32"),
                "call $f ".repeat(count),
                "drop ".repeat(1000)
            )
        };
        check(&calls(5000), None);
        check(&calls(5001), Some("values passed"));
    }
}
