use std::collections::BTreeMap;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::*;
use crate::publish::hex;
use crate::report::{FindingStatus, Observation};

/// A folder that is whole, though no model: nothing here loads it.
fn model(version: &str) -> (TempDir, Listing) {
    let folder = tempfile::tempdir().unwrap();
    let mut files = BTreeMap::new();
    for name in ["model.onnx", "tokenizer.json"] {
        let content = format!("{name} of {version}");
        let sha256 = hex(&Sha256::digest(&content));
        files.insert(name, json!({"sha256": sha256, "bytes": content.len()}));
        fs::write(folder.path().join(name), content).unwrap();
    }
    let manifest = json!({
        "format_version": 1, "name": "student", "version": version, "created": "2026-01-01",
        "observations": Observation::ALL.map(Observation::name),
        "statuses": FindingStatus::ALL.map(FindingStatus::name),
        "max_tokens": 256, "length_buckets": [256], "pad_token_id": 0,
        "temperatures": vec![1.0; 13], "thresholds": vec![0.9; 13], "files": files,
        "self_test": [{"text": "No pneumothorax.", "labels": {"pneumothorax": "negative"}}],
    });
    fs::write(folder.path().join("manifest.json"), manifest.to_string()).unwrap();
    fs::write(folder.path().join("README.md"), version).unwrap();
    let listing = Listing::read(folder.path()).unwrap();
    (folder, listing)
}

fn entry(action: Action, version: &Version) -> Entry {
    Entry {
        time: "2026-01-01T00:00:00Z".to_owned(),
        action,
        version: version.to_string(),
        decision: String::new(),
        reason: String::new(),
    }
}

fn promote(store: &mut Store, version: &str) -> Version {
    let (folder, listing) = model(version);
    let version = store.admit(folder.path(), &listing).unwrap();
    store.serve(&version, entry(Action::Promote, &version)).unwrap();
    version
}

/// What a reader finds behind the link: the manifest's version, all hashes right.
fn served(root: &Path) -> String {
    let folder = fs::canonicalize(root.join(CURRENT)).unwrap();
    let listing = Listing::read(&folder).unwrap();
    listing.verify(&folder).unwrap();
    listing.identity.version
}

#[test]
fn a_promoted_model_is_a_copy_that_the_link_leads_to() {
    let root = tempfile::tempdir().unwrap();
    let mut store = Store::open(root.path()).unwrap();
    assert_eq!(store.current().unwrap(), None);
    let version = promote(&mut store, "1.0");
    assert!(version.as_str().starts_with("1.0-") && version.as_str().len() == 12);
    assert_eq!(store.current().unwrap(), Some(version.clone()));
    assert_eq!(served(root.path()), "1.0");
    assert_eq!(fs::read_to_string(store.folder(&version).join("README.md")).unwrap(), "1.0");
    let link = fs::read_link(root.path().join(CURRENT)).unwrap();
    assert!(link.is_relative(), "a store can be moved or mounted elsewhere");
}

#[test]
fn a_model_that_is_not_whole_does_not_get_in() {
    let root = tempfile::tempdir().unwrap();
    let mut store = Store::open(root.path()).unwrap();
    promote(&mut store, "1.0");
    for file in ["model.onnx", "tokenizer.json", "manifest.json"] {
        let (folder, listing) = model("2.0");
        fs::write(folder.path().join(file), "exchanged after it was judged").unwrap();
        let error = store.admit(folder.path(), &listing).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains("was exchanged"), "{error}");
        fs::remove_file(folder.path().join(file)).unwrap();
        let error = store.admit(folder.path(), &listing).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains("does not exist"), "{error}");
    }
    assert_eq!(store.versions.names().unwrap().len(), 1);
    assert_eq!(served(root.path()), "1.0");
}

/// Stops a promotion of 2.0 over 1.0 after so many steps, and tells what a reader finds then.
fn stopped_after(steps: usize) -> (TempDir, String) {
    let root = tempfile::tempdir().unwrap();
    let mut store = Store::open(root.path()).unwrap();
    promote(&mut store, "1.0");
    let (folder, listing) = model("2.0");
    let version = Version::of(&listing);
    let incoming = format!("{INCOMING}{version}");
    type Step<'a> = Box<dyn FnOnce(&mut Store) + 'a>;
    let all: Vec<Step<'_>> = vec![
        Box::new(|s| s.versions.make(&incoming).unwrap()),
        // Killed while a file is copied.
        Box::new(|s| fs::write(s.versions.path(&incoming).join("model.onnx"), "half").unwrap()),
        Box::new(|s| {
            s.versions.remove(&incoming).unwrap();
            s.versions.make(&incoming).unwrap();
            listing.copy(folder.path(), &s.versions.path(&incoming)).unwrap();
        }),
        Box::new(|s| s.versions.rename(&incoming, version.as_str()).unwrap()),
        // Killed while the history is written.
        Box::new(|s| fs::write(s.root.path(".history.jsonl.new"), "{\"time").unwrap()),
        Box::new(|s| s.root.write(BEGUN, version.as_str().as_bytes()).unwrap()),
        Box::new(|s| s.note(entry(Action::Promote, &version)).unwrap()),
        Box::new(|s| s.root.link("versions/nowhere", NEXT).unwrap()),
        Box::new(|s| s.point(&version).unwrap()),
        Box::new(|s| s.root.remove(BEGUN).unwrap()),
    ];
    assert!(steps <= all.len());
    all.into_iter().take(steps).for_each(|step| step(&mut store));
    drop(store);
    let found = served(root.path());
    (root, found)
}

#[test]
fn stopped_after_any_step_the_link_leads_to_a_whole_model_and_the_next_run_finishes() {
    for steps in 0..=10 {
        let (root, found) = stopped_after(steps);
        assert_eq!(found, if steps < 9 { "1.0" } else { "2.0" }, "after {steps} steps");
        let mut store = Store::open(root.path()).unwrap();
        let told = store.history().entries().len();
        assert_eq!(told, if steps < 9 { 1 } else { 2 }, "only what was in service: {steps}");
        assert!(!root.path().join(BEGUN).exists(), "after {steps} steps");
        let last = store.history().entries().last().unwrap().version.clone();
        assert_eq!(last, store.current().unwrap().unwrap().to_string(), "after {steps} steps");
        let hidden = store.versions.all_names().unwrap();
        assert!(hidden.iter().all(|name| !name.starts_with('.')), "left over: {hidden:?}");
        promote(&mut store, "2.0");
        assert_eq!(served(root.path()), "2.0");
        assert!(store.previous().unwrap().as_str().starts_with("1.0-"), "after {steps} steps");
    }
}

#[test]
fn a_folder_half_removed_is_no_version_and_goes_at_the_next_start() {
    let root = tempfile::tempdir().unwrap();
    let mut store = Store::open(root.path()).unwrap();
    promote(&mut store, "1.0");
    let version = promote(&mut store, "2.0");
    store.versions.rename(version.as_str(), &format!("{REMOVED}{version}")).unwrap();
    assert!(matches!(store.current(), Err(StoreError::Astray { .. })));
    assert!(matches!(store.version(version.as_str()), Err(StoreError::NoVersion { .. })));
    drop(store);
    let store = Store::open(root.path()).unwrap();
    assert_eq!(store.versions.all_names().unwrap().len(), 1);
}

#[test]
fn the_last_few_are_kept_and_the_current_and_the_one_before_it_always() {
    let root = tempfile::tempdir().unwrap();
    let mut store = Store::open(root.path()).unwrap();
    let all: Vec<Version> =
        ["1", "2", "3", "4", "5"].iter().map(|version| promote(&mut store, version)).collect();
    assert_eq!(store.prune(3).unwrap(), [all[0].to_string(), all[1].to_string()]);
    // Back to the third: the fourth and fifth are later, but the third is in service.
    store.serve(&all[2], entry(Action::Rollback, &all[2])).unwrap();
    assert_eq!(store.prune(0).unwrap(), [all[3].to_string(), all[4].to_string()]);
    assert_eq!(served(root.path()), "3");
    promote(&mut store, "6");
    assert_eq!(store.prune(0).unwrap(), Vec::<String>::new());
    assert_eq!(store.previous(), Some(all[2].clone()));
}

#[test]
fn two_at_once_are_refused_by_the_lock() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let error = Store::open(root.path()).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    drop(store);
    Store::open(root.path()).unwrap();
}

#[test]
fn a_link_that_leads_elsewhere_is_told_not_followed() {
    let root = tempfile::tempdir().unwrap();
    let (elsewhere, _) = model("9");
    let store = Store::open(root.path()).unwrap();
    for target in [elsewhere.path(), Path::new("versions/../.."), Path::new("versions/none")] {
        let link = root.path().join(CURRENT);
        std::os::unix::fs::symlink(target, &link).unwrap();
        let error = store.current().unwrap_err().to_string();
        assert!(error.contains("current") && error.contains("rollback --to"), "{error}");
        fs::remove_file(link).unwrap();
    }
}

#[test]
fn decisions_never_overwrite_each_other() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let files = |stem: &str| {
        vec![(format!("{stem}.json"), b"{}".to_vec()), (format!("{stem}.md"), b"#".to_vec())]
    };
    let first = store.record("20260101T000000Z-a", files).unwrap();
    let second = store.record("20260101T000000Z-a", files).unwrap();
    assert!(first.ends_with("decisions/20260101T000000Z-a.json"));
    assert!(second.ends_with("decisions/20260101T000000Z-a-2.json"));
    assert_eq!(fs::read_dir(root.path().join(DECISIONS)).unwrap().count(), 4);
}

#[test]
fn names_from_a_manifest_cannot_leave_the_store() {
    let (folder, mut listing) = model("1");
    listing.identity.version = "../../etc/pass wd".to_owned();
    let version = Version::of(&listing);
    assert!(version.as_str().starts_with("_.._etc_pass_wd-"), "{version}");
    let manifest = fs::read_to_string(folder.path().join("manifest.json")).unwrap();
    let manifest = manifest.replace("\"tokenizer.json\"", "\"../tokenizer.json\"");
    fs::write(folder.path().join("manifest.json"), manifest).unwrap();
    assert!(matches!(Listing::read(folder.path()), Err(StudentError::Manifest { .. })));
}

#[test]
fn a_link_moved_back_by_hand_leaves_what_was_in_service_in_the_history() {
    let root = tempfile::tempdir().unwrap();
    let mut store = Store::open(root.path()).unwrap();
    let first = promote(&mut store, "1.0");
    let second = promote(&mut store, "2.0");
    store.point(&first).unwrap();
    drop(store);
    let store = Store::open(root.path()).unwrap();
    assert!(store.history().let_in(second.as_str()));
    let actions: Vec<Action> = store.history().entries().iter().map(|e| e.action).collect();
    assert_eq!(actions, [Action::Promote, Action::Promote, Action::Found]);
}
