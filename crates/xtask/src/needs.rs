//! What a machine must have beside Rust, how it is told whether it has it, and how it comes by it.

use crate::Failure;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Something that must be there.
pub(crate) struct Need {
    /// As a person calls it.
    name: &'static str,
    /// Debian's packages that bring it, best first: the first that the release knows is taken.
    packages: &'static [&'static str],
    is_there: fn() -> bool,
}

/// What the build needs: librdkafka is built by its own `configure` and `make`, and bindgen reads RocksDB's headers
/// with libclang.
pub(crate) const BUILD: &[Need] = &[
    Need { name: "a C compiler", packages: &["build-essential"], is_there: || answers("cc", "--version") },
    Need { name: "a C++ compiler", packages: &["build-essential"], is_there: || answers("c++", "--version") },
    Need { name: "make", packages: &["build-essential"], is_there: || answers("make", "--version") },
    Need { name: "pkg-config", packages: &["pkg-config"], is_there: || answers("pkg-config", "--version") },
    Need { name: "the headers of OpenSSL", packages: &["libssl-dev"], is_there: has_openssl },
    Need { name: "libclang", packages: &["libclang-dev"], is_there: has_libclang },
];

/// What the tests need beside that, to fetch and start a real Apache Kafka.
pub(crate) const BROKER: &[Need] = &[
    // Where the default is older than 17, as on Ubuntu 22.04, a later one is there too.
    Need {
        name: "a Java runtime, version 17 or later",
        packages: &["openjdk-21-jre-headless", "openjdk-17-jre-headless", "default-jre-headless"],
        is_there: has_java,
    },
    Need { name: "Maven", packages: &["maven"], is_there: || answers("mvn", "--version") },
];

/// Installs what is missing where this user may; otherwise says what to type.
pub(crate) fn meet(needs: impl IntoIterator<Item = &'static Need>) -> Result<(), Failure> {
    let missing: Vec<&Need> = needs.into_iter().filter(|need| !(need.is_there)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|need| need.name).collect();
    eprintln!("xtask: this machine lacks {}", names.join(", "));
    if !answers("apt-get", "--version") {
        return Err(Failure::missing(
            "there is no apt-get here; install these with the package manager of this system".to_owned(),
        ));
    }
    let prefix: &[&str] = if is_root() {
        &[]
    } else if answers_all("sudo", &["-n", "true"]) {
        &["sudo", "-n"]
    } else {
        let line = format!("sudo apt-get update && sudo apt-get install --yes {}", packages(&missing).join(" "));
        return Err(Failure::missing(format!("install them with this line, then try again:\n\n    {line}\n")));
    };
    apt_get(prefix, &["update", "--quiet"])?;
    let packages = packages(&missing);
    let mut install = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    install.extend(&packages);
    apt_get(prefix, &install)?;
    match missing.iter().find(|need| !(need.is_there)()) {
        Some(need) => Err(Failure::missing(format!(
            "{} is still not found, though {} is installed",
            need.name,
            packages.join(", ")
        ))),
        None => Ok(()),
    }
}

/// Asks for a component of the Rust toolchain by the subcommand of cargo that it brings.
pub(crate) fn component(name: &str, subcommand: &str) -> Result<(), Failure> {
    if answers_all("cargo", &[subcommand, "--version"]) {
        return Ok(());
    }
    Err(Failure::missing(format!("this toolchain lacks {name}; `rustup component add {name}` brings it")))
}

/// The packages to install, each once, in the release's own names.
fn packages(missing: &[&Need]) -> Vec<&'static str> {
    let mut packages: Vec<&str> = missing.iter().map(|need| known(need.packages)).collect();
    packages.dedup();
    packages
}

/// The first package that apt can install; the last where it has no lists to ask.
fn known(packages: &'static [&'static str]) -> &'static str {
    let (last, others) = packages.split_last().expect("a need names a package");
    // A package that others only refer to has a name, and still cannot be installed.
    others.iter().find(|package| answers_all("apt-get", &["install", "--simulate", package])).unwrap_or(last)
}

fn apt_get(prefix: &[&str], arguments: &[&str]) -> Result<(), Failure> {
    let mut words = prefix.to_vec();
    words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    words.extend(arguments);
    let line = words.join(" ");
    eprintln!("xtask: {line}");
    match Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::missing(format!("`{line}` failed: {status}"))),
        Err(error) => Err(Failure::missing(format!("`{line}` cannot be started: {error}"))),
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn answers(program: &str, argument: &str) -> bool {
    answers_all(program, &[argument])
}

fn answers_all(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn has_openssl() -> bool {
    env::var_os("OPENSSL_DIR").is_some() || answers_all("pkg-config", &["--exists", "openssl"])
}

/// Looks for the library and, beside it, for the headers of the compiler itself, without which it reads nothing:
/// Debian's package of the library alone does not bring them.
fn has_libclang() -> bool {
    if env::var_os("LIBCLANG_PATH").is_some() {
        return true;
    }
    let machines = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib"].map(PathBuf::from);
    let mut folders: Vec<PathBuf> =
        machines.iter().flat_map(|folder| [vec![folder.clone()], inside(folder)].concat()).collect();
    folders.extend(inside(Path::new("/usr/lib")).into_iter().map(|folder| folder.join("lib")));
    let is_library = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        (name.starts_with("libclang.so") || name.starts_with("libclang-"))
            && name.contains(".so")
            && !name.contains("cpp")
    };
    let has_library = folders.iter().any(|folder| inside(folder).iter().any(is_library));
    let has_headers = folders
        .iter()
        .flat_map(|folder| inside(&folder.join("clang")))
        .any(|version| version.join("include/stddef.h").is_file());
    has_library && has_headers
}

fn inside(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default()
}

fn has_java() -> bool {
    let Ok(output) = Command::new("java").arg("-version").stdin(Stdio::null()).output() else { return false };
    java_version(&String::from_utf8_lossy(&output.stderr)).is_some_and(|version| version >= 17)
}

/// From `openjdk version "17.0.9" 2023-10-17`; 8 calls itself 1.8.
fn java_version(told: &str) -> Option<u32> {
    let version = told.split('"').nth(1)?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{BROKER, BUILD, java_version, packages};

    #[test]
    fn versions_of_java_are_read_as_they_are_told() {
        assert_eq!(java_version("openjdk version \"17.0.9\" 2023-10-17\nOpenJDK Runtime Environment"), Some(17));
        assert_eq!(java_version("openjdk version \"21\" 2023-09-19"), Some(21));
        assert_eq!(java_version("java version \"1.8.0_392\""), Some(1));
        assert_eq!(java_version("sh: java: not found"), None);
    }

    #[test]
    fn a_package_that_brings_several_things_is_named_once() {
        let build: Vec<_> = BUILD.iter().collect();
        assert_eq!(packages(&build), ["build-essential", "pkg-config", "libssl-dev", "libclang-dev"]);
        let maven: Vec<_> = BROKER[1..].iter().collect();
        assert_eq!(packages(&maven), ["maven"]);
    }
}
