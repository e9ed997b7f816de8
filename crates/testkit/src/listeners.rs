//! What a secured broker has beside its plain listener: TLS with a certificate of its own making, and SASL.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The user that a secured broker knows under PLAIN and SCRAM.
pub const USER: &str = "alice";
/// That user's password.
pub const PASSWORD: &str = "alice-secret";

/// One of the listeners of a secured broker. Those with SASL take PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, and
/// OAUTHBEARER with tokens that nobody has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// TLS.
    Tls,
    /// SASL in the clear.
    Sasl,
    /// SASL over TLS. Here a connection has to make itself known anew every two seconds.
    SaslTls,
}

pub(crate) struct Listeners {
    folder: PathBuf,
    ports: [(Listener, &'static str, u16); 3],
}

impl Listeners {
    /// Makes a key and a certificate for it.
    pub(crate) fn new(folder: &Path, tls: u16, sasl: u16, sasl_tls: u16) -> Listeners {
        let ports = [
            (Listener::Tls, "SSL", tls),
            (Listener::Sasl, "SASL_PLAINTEXT", sasl),
            (Listener::SaslTls, "SASL_SSL", sasl_tls),
        ];
        let listeners = Listeners { folder: folder.to_owned(), ports };
        let key =
            ["-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-dname", "CN=broker", "-validity", "3650"];
        listeners.keytool(&[&key[..], &["-ext", "san=ip:127.0.0.1,dns:localhost"]].concat());
        let certificate = listeners.certificate();
        listeners.keytool(&["-exportcert", "-rfc", "-file", &certificate.to_string_lossy()]);
        listeners
    }

    pub(crate) fn address(&self, wanted: Listener) -> String {
        let port = self.ports.iter().find(|(listener, ..)| *listener == wanted).map_or(0, |(_, _, port)| *port);
        format!("127.0.0.1:{port}")
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    /// What comes behind the other listeners.
    pub(crate) fn listeners(&self) -> String {
        self.ports.iter().map(|(_, name, port)| format!(",{name}://127.0.0.1:{port}")).collect()
    }

    /// Users for SCRAM are made with the data folder.
    pub(crate) fn format_arguments(&self) -> Vec<String> {
        let user = |hash: &str| format!("SCRAM-SHA-{hash}=[name={USER},password={PASSWORD}]");
        ["256", "512"].iter().flat_map(|hash| ["--add-scram".to_owned(), user(hash)]).collect()
    }

    pub(crate) fn properties(&self) -> String {
        let mut text = format!(
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,\
             SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
ssl.keystore.type=PKCS12
ssl.keystore.location={store}
ssl.keystore.password={PASSWORD}
ssl.key.password={PASSWORD}
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl_ssl.connections.max.reauth.ms=2000
",
            store = self.store().display()
        );
        let module = "org.apache.kafka.common.security";
        let modules = [
            ("plain", format!("{module}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\"")),
            ("scram-sha-256", format!("{module}.scram.ScramLoginModule required")),
            ("scram-sha-512", format!("{module}.scram.ScramLoginModule required")),
            (
                "oauthbearer",
                format!(
                    "{module}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\""
                ),
            ),
        ];
        for listener in ["sasl_plaintext", "sasl_ssl"] {
            for (mechanism, module) in &modules {
                text += &format!("listener.name.{listener}.{mechanism}.sasl.jaas.config={module};\n");
            }
        }
        text
    }

    fn store(&self) -> PathBuf {
        self.folder.join("keys.p12")
    }

    fn keytool(&self, arguments: &[&str]) {
        let done = Command::new("keytool")
            .args(arguments)
            .args(["-alias", "broker", "-storetype", "PKCS12", "-storepass", PASSWORD, "-keystore"])
            .arg(self.store())
            .output()
            .unwrap_or_else(|e| panic!("cannot run keytool ({e}), which comes with java: install Java 17"));
        assert!(done.status.success(), "keytool failed\n{}", String::from_utf8_lossy(&done.stdout));
    }
}
