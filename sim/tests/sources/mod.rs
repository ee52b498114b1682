//! What the broker's sources say, for tests that compare lists with them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Where they are.
pub fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../src")
}

/// The names that they give to a macro (`sometimes`), each as often as it stands there; but for where it is defined.
pub fn names_given_to(macro_name: &str) -> BTreeMap<String, usize> {
    let (call, defined) = (format!("{macro_name}!("), format!("src/{macro_name}.rs"));
    let (mut names, mut folders) = (BTreeMap::new(), vec![source()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with(&defined) {
                for place in std::fs::read_to_string(&path).unwrap().split(&call).skip(1) {
                    let name = place.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
                    *names.entry(name.unwrap_or_else(|| panic!("{place}")).to_owned()).or_default() += 1;
                }
            }
        }
    }
    names
}
