//! The revision of the sources, as the repository's files tell it.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The commit that the repository around `folder` has checked out, 12 hex digits; `unknown` if there is none.
#[must_use]
pub fn revision(folder: &Path) -> String {
    // The canonical path has all its ancestors; a folder that cannot be resolved has those it is spelled with.
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    let found = folder.ancestors().find_map(|ancestor| git_folder(&ancestor.join(".git"))).and_then(|git| head(&git));
    found.map_or_else(|| "unknown".into(), |commit| commit.chars().take(12).collect())
}

/// A linked worktree has a file there, which names the folder.
fn git_folder(dot_git: &Path) -> Option<PathBuf> {
    if dot_git.is_dir() {
        return Some(dot_git.to_path_buf());
    }
    let text = fs::read_to_string(dot_git).ok()?;
    let named = text.trim().strip_prefix("gitdir: ")?;
    Some(dot_git.parent()?.join(named))
}

fn head(git: &Path) -> Option<String> {
    let head = fs::read_to_string(git.join("HEAD")).ok()?;
    let Some(name) = head.trim().strip_prefix("ref: ") else { return Some(head.trim().to_owned()) };
    let common = fs::read_to_string(git.join("commondir")).map_or_else(|_| git.into(), |to| git.join(to.trim()));
    let loose = fs::read_to_string(common.join(name)).ok().map(|commit| commit.trim().to_owned());
    loose.or_else(|| {
        let packed = fs::read_to_string(common.join("packed-refs")).ok()?;
        let mut lines = packed.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(_, packed)| *packed == name).map(|(commit, _)| commit.to_owned())
    })
}
