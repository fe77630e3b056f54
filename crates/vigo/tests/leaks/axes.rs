//! What the cells of the matrix differ in, and how some are chosen of all: every pair of values of two axes at least once, by a seeded greedy search,
//! and the rest at random.

use crate::recipes::{Recipe, recipes};
use std::collections::BTreeSet;
use vigo_testkit::scan::Kind;

/// What the policy asks of the resource, and what there was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Create,
    Update,
    NoChange,
    Delete,
    DryRun,
    Diff,
    Rollback,
    Fails(Step),
}

/// Where an update fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The folder is missing, or the command's.
    NoFolder,
    /// Something of another kind stands there.
    OtherKind,
    /// Nothing can be written there.
    ReadOnly,
    /// The check says no, and prints the content; the command fails.
    Check,
    /// The owner does not exist, or the command's user.
    NoOwner,
    /// The n-th of each kind of call that changes something fails.
    Call,
}

/// What of it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Speech {
    Quiet,
    Error,
    Info,
    Debug,
    Trace,
    RustLog,
    Json,
    Verbose,
    All,
}

/// What happens meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Circumstance {
    Normal,
    Killed,
    Panic,
    OutOfMemory,
    DiskFull,
    SwapPressure,
}

pub const OPERATIONS: [Operation; 13] = [
    Operation::Create,
    Operation::Update,
    Operation::NoChange,
    Operation::Delete,
    Operation::DryRun,
    Operation::Diff,
    Operation::Rollback,
    Operation::Fails(Step::NoFolder),
    Operation::Fails(Step::OtherKind),
    Operation::Fails(Step::ReadOnly),
    Operation::Fails(Step::Check),
    Operation::Fails(Step::NoOwner),
    Operation::Fails(Step::Call),
];
pub const SPEECHES: [Speech; 9] = [
    Speech::Quiet,
    Speech::Error,
    Speech::Info,
    Speech::Debug,
    Speech::Trace,
    Speech::RustLog,
    Speech::Json,
    Speech::Verbose,
    Speech::All,
];
pub const CIRCUMSTANCES: [Circumstance; 6] = [
    Circumstance::Normal,
    Circumstance::Killed,
    Circumstance::Panic,
    Circumstance::OutOfMemory,
    Circumstance::DiskFull,
    Circumstance::SwapPressure,
];

impl Speech {
    /// The options of `apply` that make it so.
    pub const fn options(self) -> &'static [&'static str] {
        match self {
            Self::Quiet | Self::RustLog => &[],
            Self::Error => &["--log-level", "error"],
            Self::Info => &["--log-level", "info", "--log-format", "text"],
            Self::Debug => &["--log-level", "debug", "--detailed-exit-code"],
            Self::Trace => &["--log-level", "trace", "--log-format", "json"],
            Self::Json => &["--json"],
            Self::Verbose => &["--verbose"],
            Self::All => &["--log-level", "trace", "--diff", "--verbose", "--json"],
        }
    }
}

/// One cell: an index into each axis, and a number for what is chosen at random inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub at: [usize; 5],
    pub random: u64,
}

impl Cell {
    pub fn recipe(&self) -> Recipe {
        recipes()[self.at[0]]
    }

    pub fn kind(&self) -> Kind {
        Kind::ALL[self.at[1]]
    }

    pub const fn operation(&self) -> Operation {
        OPERATIONS[self.at[2]]
    }

    pub const fn speech(&self) -> Speech {
        SPEECHES[self.at[3]]
    }

    pub const fn circumstance(&self) -> Circumstance {
        CIRCUMSTANCES[self.at[4]]
    }

    /// For messages.
    pub fn name(&self) -> String {
        let recipe = self.recipe();
        format!(
            "{}.{} x {} x {:?} x {:?} x {:?} ({})",
            recipe.of.0,
            recipe.of.1,
            self.kind().name(),
            self.operation(),
            self.speech(),
            self.circumstance(),
            self.random
        )
    }
}

/// How many values each axis has.
pub fn sizes() -> [usize; 5] {
    [recipes().len(), Kind::ALL.len(), OPERATIONS.len(), SPEECHES.len(), CIRCUMSTANCES.len()]
}

/// SplitMix64: small, seeded, the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn cell(&mut self, sizes: [usize; 5]) -> Cell {
        let at = sizes.map(|size| self.below(size));
        Cell { at, random: self.next() }
    }
}

type Pair = (usize, usize, usize, usize);

fn pairs_of(at: [usize; 5]) -> impl Iterator<Item = Pair> {
    (0..5).flat_map(move |one| (one + 1..5).map(move |two| (one, at[one], two, at[two])))
}

/// So many cells, or more if every pair needs more.
pub fn sampled(seed: u64, sizes: [usize; 5], count: usize) -> Vec<Cell> {
    let mut random = Random(seed);
    let mut open: BTreeSet<Pair> = BTreeSet::new();
    for one in 0..5 {
        for two in one + 1..5 {
            open.extend((0..sizes[one]).flat_map(|a| (0..sizes[two]).map(move |b| (one, a, two, b))));
        }
    }
    let mut cells = Vec::new();
    while let Some(&(one, a, two, b)) = open.first() {
        // The first open pair is covered for certain, and of some that do so the one that covers most.
        let candidates = (0..40).map(|_| {
            let mut cell = random.cell(sizes);
            (cell.at[one], cell.at[two]) = (a, b);
            cell
        });
        let best = candidates.max_by_key(|cell| pairs_of(cell.at).filter(|pair| open.contains(pair)).count());
        let best = best.unwrap();
        pairs_of(best.at).for_each(|pair| {
            open.remove(&pair);
        });
        cells.push(best);
    }
    while cells.len() < count {
        cells.push(random.cell(sizes));
    }
    cells
}

/// Every cell there is, in an order that does not depend on the axes: who stops early has seen some of everything.
pub fn all(seed: u64, sizes: [usize; 5]) -> Vec<Cell> {
    let mut random = Random(seed);
    let mut cells = Vec::new();
    let total: usize = sizes.iter().product();
    for number in 0..total {
        let mut rest = number;
        let at = sizes.map(|size| {
            let own = rest % size;
            rest /= size;
            own
        });
        cells.push(Cell { at, random: random.next() });
    }
    for last in (1..cells.len()).rev() {
        cells.swap(last, random.below(last + 1));
    }
    cells
}

/// The part of the cells that a text like `3/64` names: the third of 64 parts, which together are all of them.
pub fn slice(cells: Vec<Cell>, text: &str) -> Vec<Cell> {
    let parts = text.split_once('/').and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
    let (part, of): (usize, usize) = parts
        .filter(|(part, of)| (1..=*of).contains(part))
        .unwrap_or_else(|| panic!("`{text}` is neither `full` nor a part of the cells, as `3/64` is"));
    cells.into_iter().skip(part - 1).step_by(of).collect()
}

#[test]
fn the_parts_of_all_cells_are_all_of_them_and_none_twice() {
    let cells = || all(7, [2, 3, 1, 2, 2]);
    let parts: Vec<Cell> = (1..=5).flat_map(|part| slice(cells(), &format!("{part}/5"))).collect();
    assert_eq!(parts.len(), cells().len());
    assert!(cells().iter().all(|cell| parts.contains(cell)));
    for text in ["0/5", "6/5", "5", "a/b", ""] {
        assert!(std::panic::catch_unwind(|| slice(Vec::new(), text)).is_err(), "{text}");
    }
}

#[test]
fn every_pair_of_values_is_among_the_cells_and_the_same_seed_gives_the_same_ones() {
    let cells = sampled(7, sizes(), 400);
    assert_eq!(cells.len(), 400, "every pair alone needs more");
    assert_eq!(cells, sampled(7, sizes(), 400));
    assert_ne!(cells, sampled(8, sizes(), 400));
    let covered: BTreeSet<Pair> = cells.iter().flat_map(|cell| pairs_of(cell.at)).collect();
    let sizes = sizes();
    let wanted: usize = (0..5).flat_map(|one| (one + 1..5).map(move |two| sizes[one] * sizes[two])).sum();
    assert_eq!(covered.len(), wanted);
    assert_eq!(all(7, [2, 3, 1, 2, 2]).len(), 24);
}
