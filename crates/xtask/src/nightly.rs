//! `nightly`: what takes too long for every change: the shipped binaries, the property tests with many more cases, fuzzing, a virtual machine, the
//! whole leak matrix, the benchmarks.

use crate::process::{self, Failure, cargo, stage};
use crate::{bed, bench, dist, fuzz};

/// Cases of each property test; by default there are 256.
const CASES: &str = "20000";

pub fn run() -> Result<(), Failure> {
    dist::run()?;
    stage("tests with many more random cases");
    process::run(cargo().args(["test", "--workspace", "--locked", "--quiet"]).env("PROPTEST_CASES", CASES))?;
    fuzz::run(fuzz::NIGHTLY_S, &[])?;
    bed::run()?;
    leaks()?;
    bench::run()
}

/// Every cell of the leak matrix. The binaries that it runs were built for the tests before.
fn leaks() -> Result<(), Failure> {
    stage("the whole leak matrix");
    let mut test = cargo();
    test.args(["test", "--package", "vigo", "--test", "leaks", "--locked", "--quiet", "--", "--nocapture"]);
    process::run(test.arg("no_cell_of_the_leak_matrix").env("VIGO_LEAK_MATRIX", "full"))
}
