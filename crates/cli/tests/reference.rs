//! The pages of reference/ are what the program knows of itself. `cargo xtask reference` writes them anew.

use std::fs;
use std::path::Path;

#[test]
fn the_reference_of_the_configuration_is_current() {
    check("configuration.md", &config::reference());
}

#[test]
fn the_reference_of_functions_is_current() {
    check("functions.md", &functions::reference());
}

/// Holds a page against what it should be; with `UPDATE` in the environment it is written instead.
#[track_caller]
fn check(page: &str, wanted: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference");
    let path = folder.join(page);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(&folder).expect("the folder can be made");
        fs::write(&path, wanted).expect("the page can be written");
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "{page} is not what the program says; `cargo xtask reference` writes it anew");
}
