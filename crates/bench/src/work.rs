//! The works that are measured.

use crate::measure::{Cost, median};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Resources in one configcrate.
const PART: usize = 1000;

/// The wanted content of file `number`: about 200 bytes, the same that the peers were measured with.
pub fn content(number: usize) -> String {
    let mut text = format!("# managed file {number:04}\n");
    for line in 0..4 {
        text.push_str(&format!("setting_{line} = value-{number:04}-{line} abcdefghijklmnopqrstu\n"));
    }
    text
}

/// Measures every work and prints a table.
pub fn run_all(me: &Path, bin: &Path) -> Result<(), String> {
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let bench = Bench {
        me: me.to_owned(),
        vigo: bin.join("vigo"),
        place: place.path().to_owned(),
        put_aside: Cell::new(0),
    };
    println!("| work | floor, CPU ms | vigo, CPU ms | ratio | vigo, wall ms | vigo, peak MB |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let empty = bench.policy("empty", 0)?;
    bench.row("empty policy", "none", 0, &empty)?;
    for count in [1_000, 10_000] {
        let policy = bench.policy("files", count)?;
        bench.row_from_nothing(&format!("{count} files from nothing"), count, &policy)?;
        bench.row(&format!("{count} files, nothing to change"), "check", count, &policy)?;
        bench.clear();
    }
    let templates = bench.template_policy(200)?;
    bench.row("200 templates with 20 variables, nothing to change", "none", 0, &templates)?;
    Ok(())
}

struct Bench {
    me: PathBuf,
    vigo: PathBuf,
    place: PathBuf,
    put_aside: Cell<usize>,
}

impl Bench {
    fn targets(&self) -> PathBuf {
        self.place.join("targets")
    }

    /// Puts the targets aside. Removing them would cost the next run: ext4 passes over inodes that were freed within the last minute, one by one.
    fn clear(&self) {
        let number = self.put_aside.get();
        self.put_aside.set(number + 1);
        let _not_there = std::fs::rename(self.targets(), self.place.join(format!("aside{number}")));
    }

    fn save(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.place.join(format!("{name}.vgo"));
        std::fs::write(&path, text).map_err(|error| error.to_string())?;
        Ok(path)
    }

    /// A folder of stacks with so many files, a thousand in a configcrate: one policy file may have 1 MiB.
    fn policy(&self, name: &str, count: usize) -> Result<PathBuf, String> {
        let (targets, stacks) = (self.targets(), self.place.join(name));
        let save = |path: &str, text: &str| {
            std::fs::write(stacks.join(path), text).map_err(|error| error.to_string())
        };
        std::fs::create_dir_all(stacks.join("configcrates")).map_err(|error| error.to_string())?;
        let parts = count.div_ceil(PART).max(1);
        let names: Vec<String> = (0..parts).map(|part| format!("part{part}")).collect();
        save("envoys.vgo", &format!("envoys: [{{match: \"*\", configcrates: [{}]}}]\n", names.join(", ")))?;
        for (part, name) in names.iter().enumerate() {
            let mut text = format!("configcrate: {name}\nresources:\n");
            if part == 0 {
                text.push_str(&format!("  - {{type: directory, target_path: \"{}\"}}\n", targets.display()));
            }
            for number in (part * PART..count).take(PART) {
                text.push_str(&format!(
                    "  - type: file\n    target_path: \"{}/f{number:05}.conf\"\n    mode: \"0644\"\n    content: |\n      {}\n",
                    targets.display(),
                    content(number).trim_end().replace('\n', "\n      ")
                ));
            }
            save(&format!("configcrates/{name}.vgo"), &text)?;
        }
        Ok(stacks)
    }

    fn template_policy(&self, count: usize) -> Result<PathBuf, String> {
        let folder = self.targets();
        let mut text = "configcrate: templates\nvars:\n".to_owned();
        for number in 0..20 {
            text.push_str(&format!("  v{number}: \"value {number} on {{{{ traits.os.family }}}}\"\n"));
        }
        text.push_str(&format!(
            "resources:\n  - {{type: directory, target_path: \"{}\"}}\n",
            folder.display()
        ));
        for number in 0..count {
            text.push_str(&format!(
                "  - type: file\n    target_path: \"{}/t{number}.conf\"\n    content: |\n",
                folder.display()
            ));
            for variable in 0..20 {
                text.push_str(&format!("      s{variable} = {{{{ vars.v{variable} }}}} {number}\n"));
            }
            text.push_str(
                "      {% for w in range(traits.hardware.cpu_count) %}worker {{ w }}\n      {% endfor %}\n",
            );
        }
        self.save("templates", &text)
    }

    fn apply(&self, policy: &Path) -> Command {
        let mut command = Command::new(&self.vigo);
        command.arg("--state-dir").arg(self.place.join("state")).arg("apply").arg(policy);
        command
    }

    fn floor(&self, mode: &str, folder: &Path, count: usize) -> Command {
        let mut command = Command::new(&self.me);
        command.args(["floor", mode]).arg(folder).arg(count.to_string());
        command
    }

    /// The policy is applied once, uncounted, so that nothing is left to change.
    fn row(&self, title: &str, mode: &str, count: usize, policy: &Path) -> Result<(), String> {
        std::fs::create_dir_all(self.targets()).map_err(|error| error.to_string())?;
        let vigo = median(9, || Ok(self.apply(policy)))?;
        let floor = median(9, || Ok(self.floor(mode, &self.targets(), count)))?;
        print_row(title, floor, vigo);
        Ok(())
    }

    /// Every run gets a new folder.
    fn row_from_nothing(&self, title: &str, count: usize, policy: &Path) -> Result<(), String> {
        let vigo = median(3, || {
            self.clear();
            Ok(self.apply(policy))
        })?;
        let floor = median(3, || {
            let folder = self.place.join(format!("floor{}", self.put_aside.get()));
            self.put_aside.set(self.put_aside.get() + 1);
            std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
            Ok(self.floor("write", &folder, count))
        })?;
        print_row(title, floor, vigo);
        Ok(())
    }
}

fn print_row(title: &str, floor: Cost, vigo: Cost) {
    println!(
        "| {title} | {:.1} | {:.1} | {:.1} | {:.0} | {:.1} |",
        floor.cpu_ms,
        vigo.cpu_ms,
        vigo.cpu_ms / floor.cpu_ms,
        vigo.wall_ms,
        vigo.peak_mb
    );
}
