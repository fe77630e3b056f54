//! The works that are measured.

use crate::measure::{Cost, median};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

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
    let bench = Bench { me: me.to_owned(), vigo: bin.join("vigo"), place: place.path().to_owned() };
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
}

impl Bench {
    fn targets(&self) -> PathBuf {
        self.place.join("targets")
    }

    fn clear(&self) {
        remove(&self.targets());
    }

    fn save(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.place.join(format!("{name}.vgo"));
        std::fs::write(&path, text).map_err(|error| error.to_string())?;
        Ok(path)
    }

    fn policy(&self, name: &str, count: usize) -> Result<PathBuf, String> {
        let folder = self.targets();
        let mut text = format!(
            "configcrate: {name}\nresources:\n  - {{type: directory, target_path: \"{}\"}}\n",
            folder.display()
        );
        for number in 0..count {
            let body = content(number).replace('\n', "\n      ");
            write!(
                text,
                "  - type: file\n    target_path: \"{}/f{number:05}.conf\"\n    mode: \"0644\"\n    content: |\n      {}\n",
                folder.display(),
                body.trim_end()
            )
            .map_err(|error| error.to_string())?;
        }
        self.save(name, &text)
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

    /// Every run gets a new folder, since removing and making the same files again costs the file system itself.
    fn row_from_nothing(&self, title: &str, count: usize, policy: &Path) -> Result<(), String> {
        let vigo = median(3, || {
            self.clear();
            Ok(self.apply(policy))
        })?;
        let floor = median(3, || {
            let folder = self.place.join("floor");
            remove(&folder);
            std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
            Ok(self.floor("write", &folder, count))
        })?;
        print_row(title, floor, vigo);
        Ok(())
    }
}

/// Removes a folder, if it is there.
fn remove(folder: &Path) {
    let _not_there = std::fs::remove_dir_all(folder);
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
