//! Gives one target of `vigo-fuzz`, named by `VIGO_FUZZ_TARGET`, to libFuzzer; `VIGO_FUZZ_LIST` lists them. It starts from the seeds, which go to the folder `VIGO_FUZZ_SEEDS`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use vigo_fuzz::Target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("VIGO_FUZZ_TARGET").unwrap_or_default();
    Target::by_name(&name).unwrap_or_else(|| panic!("VIGO_FUZZ_TARGET={name} is no target"))
});

fuzz_target!(
    init: {
        if std::env::var_os("VIGO_FUZZ_LIST").is_some() {
            vigo_fuzz::targets().for_each(|target| println!("{}", target.name));
            std::process::exit(0);
        }
        // libFuzzer reads its seeds from a folder.
        if let Some(folder) = std::env::var_os("VIGO_FUZZ_SEEDS") {
            for (number, seed) in (TARGET.seeds)().iter().enumerate() {
                let path = std::path::Path::new(&folder).join(format!("seed-{number}"));
                std::fs::write(&path, seed).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
            }
        }
    },
    |bytes: &[u8]| (TARGET.run)(bytes)
);
