//! Source profiles: one TOML file for each sender whose messages are special.
//!
//! A folder holds them, as `NAME.toml` or as `NAME/profile.toml` beside the messages that test it
//! (`radstream test-profile`). The name of a profile is the name of its file or folder. Every problem
//! of every file is reported at once.

mod file;

use std::path::{Path, PathBuf};

pub use self::file::read;
use super::problem::{Problem, Problems};
use crate::decode::{SourceProfile, SourceProfiles};

/// Name of a profile's file where it has a folder of its own.
pub const PROFILE_FILE: &str = "profile.toml";
/// Most profiles of one installation.
const MOST_PROFILES: usize = 1_000;

/// Why a folder gives no profiles.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder itself is wrong.
    #[error("{what}; {remedy}")]
    Folder {
        /// What is wrong.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// Files in it are wrong.
    #[error(transparent)]
    Files(#[from] Problems),
}

/// Reads every profile of a folder.
///
/// # Errors
/// The folder cannot be read or holds no profile; everything that is wrong in its files.
pub fn load(folder: &Path) -> Result<SourceProfiles, FolderError> {
    let wrong =
        |what: String, remedy: &str| FolderError::Folder { what, remedy: remedy.to_owned() };
    let files = files(folder).map_err(|problem| {
        wrong(
            format!("{} cannot be read: {problem}", folder.display()),
            "correct the path (relative to the working directory) or the folder's rights",
        )
    })?;
    if files.is_empty() {
        return Err(wrong(
            format!("{} holds no profile", folder.display()),
            "put NAME.toml or NAME/profile.toml into it, or set intake.profiles = \"\"",
        ));
    }
    if files.len() > MOST_PROFILES {
        return Err(wrong(
            format!("{} holds {} profiles", folder.display(), files.len()),
            "keep at most 1000",
        ));
    }
    let mut problems = Vec::new();
    let mut profiles: Vec<(String, SourceProfile)> = Vec::new();
    for (name, path) in files {
        match read(&name, &path) {
            Ok(profile) => {
                let file = path.display().to_string();
                problems.extend(same_sender(&file, &profile, &profiles));
                profiles.push((file, profile));
            }
            Err(Problems(found)) => problems.extend(found),
        }
    }
    if problems.is_empty() {
        Ok(SourceProfiles::new(profiles.into_iter().map(|(_, profile)| profile).collect()))
    } else {
        Err(Problems(problems).into())
    }
}

/// Names and paths of the profiles in a folder, by name.
fn files(folder: &Path) -> std::io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(file) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if file.starts_with('.') {
            continue; // also the versions that Kubernetes keeps beside a mounted ConfigMap
        }
        if path.is_dir() {
            let inner = path.join(PROFILE_FILE);
            if inner.is_file() {
                found.push((file.to_owned(), inner));
            }
        } else if let Some(name) = file.strip_suffix(".toml")
            && !name.ends_with(".expected")
        {
            found.push((name.to_owned(), path.clone()));
        }
    }
    found.sort();
    Ok(found)
}

/// Two profiles for exactly the same sender: which one reads its messages would be chance.
fn same_sender(
    file: &str,
    profile: &SourceProfile,
    others: &[(String, SourceProfile)],
) -> Vec<Problem> {
    let sender = |p: &SourceProfile| {
        let any = |own: &Option<String>| own.clone().unwrap_or_else(|| "*".to_owned());
        (p.sending_application.is_some() || p.sending_facility.is_some())
            .then(|| (any(&p.sending_application), any(&p.sending_facility)))
    };
    let mut problems = Vec::new();
    for (other_file, other) in others {
        let mut problem = |key: &str, what: &str| {
            problems.push(Problem {
                file: file.to_owned(),
                key: key.to_owned(),
                line: None,
                what: format!("{what} {other_file}"),
                remedy: "make one of them more exact, or join them".to_owned(),
            });
        };
        if sender(profile).is_some() && sender(profile) == sender(other) {
            problem("sending_application", "application and facility are those of");
        }
        if profile.fhir_source.is_some() && profile.fhir_source == other.fhir_source {
            problem("fhir_source", "the source is that of");
        }
        if profile.name == other.name {
            problem("", "the profile has the same name as");
        }
    }
    problems
}
