//! `dist`: the binaries as they are shipped: the agent static (musl) where that can be built, server and CLI for this system.

use crate::ci::is_target_installed;
use crate::process::{self, Failure, cargo, is_installed, stage};
use crate::tree;
use std::path::Path;

/// Static targets, each with the C compiler that its TLS library needs.
const STATIC: [(&str, &str); 2] =
    [("x86_64-unknown-linux-musl", "musl-gcc"), ("aarch64-unknown-linux-musl", "aarch64-linux-musl-gcc")];

pub fn run() -> Result<(), Failure> {
    let target = tree::target()?;
    stage("dist for this system");
    process::run(cargo().args([
        "build",
        "--profile",
        "dist",
        "--locked",
        "--package",
        "vigo",
        "--package",
        "vigo-server",
        "--package",
        "vigo-cli",
    ]))?;
    for name in crate::real::BINARIES {
        show(&target.join("dist").join(name));
    }
    for (triple, compiler) in STATIC {
        stage(&format!("the agent, static, for {triple}"));
        if !is_target_installed(triple) {
            println!("{triple} is not installed (`rustup target add {triple}`): NOT built");
        } else if !is_installed(compiler) {
            println!("{compiler} is not installed, and the TLS library compiles C: NOT built");
        } else {
            process::run(cargo().args([
                "build",
                "--profile",
                "dist",
                "--locked",
                "--package",
                "vigo",
                "--target",
                triple,
            ]))?;
            show(&target.join(triple).join("dist/vigo"));
        }
    }
    Ok(())
}

fn show(path: &Path) {
    let size = path.metadata().map_or(0, |data| data.len());
    println!("{}: {} KiB", path.display(), size.div_ceil(1024));
}
