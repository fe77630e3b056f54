//! Users and groups from passwd(5) and group(5). No name service is asked: its modules are code of others in this process.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::PathBuf;
use vigo_resource::{Failure, Group, User};

/// Larger account files than this are refused.
const LIMIT: u64 = 16 << 20;

/// The accounts of this machine, read once when first asked for.
#[derive(Debug)]
pub struct Accounts {
    folder: PathBuf,
    users: OnceCell<HashMap<String, User>>,
    groups: OnceCell<HashMap<String, Group>>,
    members: OnceCell<HashMap<String, Vec<u32>>>,
}

impl Accounts {
    /// The accounts in the files of that folder.
    #[must_use]
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            users: OnceCell::new(),
            groups: OnceCell::new(),
            members: OnceCell::new(),
        }
    }

    /// Forgets what was read, because a command may have changed it.
    pub fn forget(&mut self) {
        *self = Self::in_folder(std::mem::take(&mut self.folder));
    }

    /// The user of that name.
    ///
    /// # Errors
    /// When `passwd` cannot be read.
    pub fn user(&self, name: &str) -> Result<Option<User>, Failure> {
        let users = once(&self.users, || Ok(index(&self.read("passwd")?, user_line)))?;
        Ok(users.get(name).cloned())
    }

    /// The user of that number.
    ///
    /// # Errors
    /// When `passwd` cannot be read.
    pub fn user_by_id(&self, id: u32) -> Result<Option<User>, Failure> {
        let users = once(&self.users, || Ok(index(&self.read("passwd")?, user_line)))?;
        Ok(users.values().find(|user| user.id == id).cloned())
    }

    /// The group of that name.
    ///
    /// # Errors
    /// When `group` cannot be read.
    pub fn group(&self, name: &str) -> Result<Option<Group>, Failure> {
        let groups = once(&self.groups, || Ok(index(&self.read("group")?, group_line)))?;
        Ok(groups.get(name).cloned())
    }

    /// The numbers of all groups that the user is in, the primary one first.
    ///
    /// # Errors
    /// When `group` cannot be read.
    pub fn groups_of(&self, user: &User) -> Result<Vec<u32>, Failure> {
        let members = once(&self.members, || Ok(memberships(&self.read("group")?)))?;
        let mut groups = vec![user.group];
        groups.extend(members.get(&user.name).into_iter().flatten().filter(|group| **group != user.group));
        Ok(groups)
    }

    fn read(&self, name: &str) -> Result<String, Failure> {
        let path = self.folder.join(name);
        let cannot = |why: String| Failure::failed(format!("cannot read `{}`: {why}", path.display()));
        let size = std::fs::metadata(&path).map_err(|error| cannot(error.to_string()))?.len();
        if size > LIMIT {
            return Err(cannot(format!("it has {size} bytes, {LIMIT} are the limit")));
        }
        let bytes = std::fs::read(&path).map_err(|error| cannot(error.to_string()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn once<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T, Failure>) -> Result<&T, Failure> {
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let value = make()?;
    Ok(cell.get_or_init(|| value))
}

/// The first line of a name counts, as for getpwnam(3).
fn index<T>(text: &str, parse: fn(&str) -> Option<(String, T)>) -> HashMap<String, T> {
    let mut found = HashMap::new();
    for (name, value) in text.lines().filter_map(parse) {
        found.entry(name).or_insert(value);
    }
    found
}

fn user_line(line: &str) -> Option<(String, User)> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let id = fields.nth(1)?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let home = fields.nth(1)?.to_owned();
    let shell = fields.next().unwrap_or_default();
    let shell = if shell.is_empty() { "/bin/sh" } else { shell }.to_owned();
    Some((name.clone(), User { name, id, group, home, shell }))
}

fn group_line(line: &str) -> Option<(String, Group)> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let id = fields.nth(1)?.parse().ok()?;
    Some((name.clone(), Group { name, id }))
}

fn memberships(text: &str) -> HashMap<String, Vec<u32>> {
    let mut found: HashMap<String, Vec<u32>> = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let (Some(id), Some(names)) = (fields.nth(2).and_then(|id| id.parse().ok()), fields.next()) else {
            continue;
        };
        for name in names.split(',').filter(|name| !name.is_empty()) {
            found.entry(name.to_owned()).or_default().push(id);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_come_from_the_files_and_the_first_line_counts() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(
            place.path().join("passwd"),
            "root:x:0:0:root:/root:/bin/bash\nbad line\nalice:x:1000:100:A,,:/home/alice:\nalice:x:1:1::/:/bin/no\n",
        )
        .unwrap();
        std::fs::write(place.path().join("group"), "users:x:100:\nwheel:x:10:alice,bob\nstaff:x:50:alice\n")
            .unwrap();
        let accounts = Accounts::in_folder(place.path());
        let alice = accounts.user("alice").unwrap().unwrap();
        assert_eq!((alice.id, alice.group, alice.shell.as_str()), (1000, 100, "/bin/sh"));
        assert_eq!(accounts.groups_of(&alice).unwrap(), [100, 10, 50]);
        assert_eq!(accounts.user("nobody").unwrap(), None);
        assert_eq!(accounts.user_by_id(0).unwrap().unwrap().name, "root");
        assert_eq!(accounts.group("wheel").unwrap().unwrap().id, 10);
    }

    #[test]
    fn a_machine_without_accounts_says_which_file_is_missing() {
        let accounts = Accounts::in_folder("/nonexistent");
        assert!(accounts.user("root").unwrap_err().reason.contains("/nonexistent/passwd"));
    }
}
