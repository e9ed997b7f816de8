//! The broker's jars, fetched once by Maven into a cache folder that all processes share.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const VERSION: &str = "4.3.1";

/// Only names what the broker needs. kafka_2.13 brings log4j but not the binding of slf4j 1.7 to it; without
/// that the broker is mute and nobody learns that it is up.
const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>testkit</groupId>
  <artifactId>broker</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>4.3.1</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>2.25.4</version>
    </dependency>
  </dependencies>
</project>
"#;

/// Warnings, and the line that says that the broker is up, to standard output.
const LOGGING: &str = "rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ABSOLUTE} %p %c{1} %m%n
logger.server.name = kafka.server
logger.server.level = info
";

/// Where the broker's jars and its logging configuration lie.
pub(crate) struct Installation {
    folder: PathBuf,
}

impl Installation {
    /// Finds the broker in the cache, or fetches it. The others wait meanwhile.
    ///
    /// # Panics
    /// Where Maven is missing or fails: a test cannot go on, and its author needs the remedy.
    pub(crate) fn ready() -> Installation {
        let folder = cache_folder().join(format!("kafka-{VERSION}"));
        fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("cannot create {}: {e}", folder.display()));
        let lock = File::create(folder.join("lock")).expect("the lock of the cache folder can be created");
        lock.lock().expect("the lock of the cache folder can be taken");
        if !folder.join("lib").is_dir() {
            fetch(&folder);
        }
        Installation { folder }
    }

    /// A `java` command with the broker's class path: the main class and its arguments are to be added.
    pub(crate) fn java(&self) -> Command {
        let mut java = Command::new("java");
        // The serial collector and the first compiler alone: quicker to start, and tests are short.
        java.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.disableJmx=true"])
            .arg(format!("-Dlog4j2.configurationFile={}", self.folder.join("log4j2.properties").display()))
            .arg("-cp")
            .arg(self.folder.join("lib").join("*"));
        java
    }
}

fn cache_folder() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("vitalsign")
}

fn fetch(folder: &Path) {
    let unfinished = folder.join("lib.unfinished");
    fs::write(folder.join("pom.xml"), POM).expect("the cache folder can be written");
    fs::write(folder.join("log4j2.properties"), LOGGING).expect("the cache folder can be written");
    let outcome = Command::new("mvn")
        .args(["-q", "-B", "-f"])
        .arg(folder.join("pom.xml"))
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", unfinished.display()))
        .output()
        .unwrap_or_else(|e| panic!("cannot run mvn ({e}): install Maven, or name a broker in VITALSIGN_TEST_BROKERS"));
    assert!(
        outcome.status.success(),
        "Maven could not fetch Apache Kafka {VERSION}; check the network and its settings, \
         or name a broker in VITALSIGN_TEST_BROKERS\n{}",
        String::from_utf8_lossy(&outcome.stdout)
    );
    // Only a complete folder gets the name that the next process looks for.
    fs::rename(&unfinished, folder.join("lib")).expect("the fetched jars can be renamed");
}
