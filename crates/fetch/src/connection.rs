//! One connection to a broker: opened with TLS and SASL as configured, then one request and one response at a time.

use crate::messages::{self, API_VERSIONS, Api, SASL_AUTHENTICATE, SASL_HANDSHAKE};
use crate::properties::Settings;
use crate::sasl;
use crate::wire::{Bytes, Malformed, Writer};
use bytes::BufMut;
use std::collections::HashMap;
use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// How the answer of a broker begins that takes our request for a bad beginning of TLS.
const TLS_ALERT: i32 = 0x1503;

/// A broker's host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A connection that cannot be used any more, in words for an operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Fault(pub(crate) String);

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Fault {
        Fault(malformed.to_string())
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Fault {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Fault("the broker closed the connection".to_owned()),
            _ => Fault(error.to_string()),
        }
    }
}

/// What bytes go over: TCP, or TLS over it.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// An open connection.
pub(crate) struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    address: Address,
    client: String,
    correlation: i32,
    sending: Vec<u8>,
    /// What the broker speaks: the lowest and the highest version by key.
    versions: HashMap<i16, (i16, i16)>,
    longest: usize,
    /// When the broker wants to know us anew; it is easier to come again before that.
    expires: Option<Instant>,
}

/// Connects, and makes us known.
pub(crate) async fn open(settings: &Settings, address: &Address) -> Result<Connection, Fault> {
    let opened = limited(settings.setup_timeout, "there is no connection", async {
        let tcp = TcpStream::connect((address.host.as_str(), address.port)).await?;
        tcp.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &settings.tls {
            None => Box::new(tcp),
            Some(tls) => {
                let name = ServerName::try_from(address.host.clone())
                    .map_err(|_| Fault("the host's name is none that a certificate could have".to_owned()))?;
                let secured = TlsConnector::from(tls.clone()).connect(name, tcp).await;
                Box::new(secured.map_err(|e| Fault(format!("TLS: {e}")))?)
            }
        };
        let mut connection = Connection {
            stream: BufReader::new(stream),
            address: address.clone(),
            client: settings.client_id.clone(),
            correlation: 0,
            sending: Vec::new(),
            versions: HashMap::from([(API_VERSIONS.key, (0, 0))]),
            longest: settings.longest,
            expires: None,
        };
        let versions = connection.call(&API_VERSIONS, |_, _| {}, |bytes, _| messages::read_api_versions(bytes)).await?;
        connection.versions = versions.into_iter().map(|(key, low, high)| (key, (low, high))).collect();
        if let Some(sasl) = &settings.sasl {
            connection.authenticate(sasl).await?;
        }
        Ok(connection)
    });
    opened.await.map_err(|fault| Fault(format!("{address}: {fault}")))
}

/// An answer within a time, or a fault.
pub(crate) async fn limited<T>(
    time: Duration,
    what: &str,
    answer: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    match tokio::time::timeout(time, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(Fault(format!("{what} after {} ms", time.as_millis()))),
    }
}

impl Connection {
    /// The broker's address, in front of what went wrong with it.
    pub(crate) fn of_broker(&self, fault: &Fault) -> Fault {
        Fault(format!("{}: {fault}", self.address))
    }

    /// Whether it is a connection to this address.
    pub(crate) fn is_to(&self, address: &Address) -> bool {
        self.address == *address
    }

    /// Whether the broker is about to want us to make ourselves known anew.
    pub(crate) fn expired(&self) -> bool {
        self.expires.is_some_and(|at| at <= Instant::now())
    }

    /// The version in which both sides speak.
    pub(crate) fn version(&self, api: &Api) -> Result<i16, Fault> {
        let Api { name, lowest, highest, .. } = api;
        let Some((low, high)) = self.versions.get(&api.key) else {
            return Err(Fault(format!("the broker does not speak {name}")));
        };
        let version = (*high).min(*highest);
        if version < (*low).max(*lowest) {
            return Err(Fault(format!("the broker speaks {name} {low} to {high}, and we {lowest} to {highest}")));
        }
        Ok(version)
    }

    /// Sends a request and reads its response.
    pub(crate) async fn call<T>(
        &mut self,
        api: &Api,
        request: impl FnOnce(&mut Writer<'_>, i16),
        response: impl FnOnce(&mut Bytes<'_>, i16) -> Result<T, Malformed>,
    ) -> Result<T, Fault> {
        let version = self.send(api, request).await?;
        let mut frame = self.frame(api, version).await?;
        let mut body = Vec::new();
        let left = frame.left;
        frame.fill(&mut body, left).await?;
        Ok(response(&mut Bytes::new(&body, version >= api.flexible), version)?)
    }

    /// Sends a request; the version in which its response comes.
    pub(crate) async fn send(&mut self, api: &Api, request: impl FnOnce(&mut Writer<'_>, i16)) -> Result<i16, Fault> {
        let version = self.version(api)?;
        self.correlation = self.correlation.wrapping_add(1);
        self.sending.clear();
        // Its first field is its length, which is known at the end.
        let mut header = Writer::new(&mut self.sending, false);
        header.i32(0);
        header.i16(api.key);
        header.i16(version);
        header.i32(self.correlation);
        header.text(&self.client);
        let mut writer = Writer::new(&mut self.sending, version >= api.flexible);
        writer.end();
        request(&mut writer, version);
        let length = self.sending.len() as i32 - 4;
        self.sending[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&self.sending).await?;
        self.stream.flush().await?;
        Ok(version)
    }

    /// The response to the request that was sent last.
    pub(crate) async fn frame(
        &mut self,
        api: &Api,
        version: i16,
    ) -> Result<Frame<'_, BufReader<Box<dyn Stream>>>, Fault> {
        let length = self.stream.read_i32().await?;
        if length >> 16 == TLS_ALERT {
            return Err(Fault("the broker speaks TLS, and `security.protocol` does not say so".to_owned()));
        }
        let left = usize::try_from(length).ok().filter(|length| *length <= self.longest);
        let left = left.ok_or_else(|| {
            Fault(format!("a response of {length} bytes, more than `receive.message.max.bytes` ({})", self.longest))
        })?;
        let flexible = version >= api.flexible;
        let mut frame = Frame { stream: &mut self.stream, left, flexible };
        if frame.i32().await? != self.correlation {
            return Err(Fault("a response to another request".to_owned()));
        }
        frame.end(|_, _| {}).await?;
        Ok(frame)
    }

    async fn authenticate(&mut self, sasl: &sasl::Sasl) -> Result<(), Fault> {
        let name = sasl.mechanism();
        let (error, takes) = self
            .call(&SASL_HANDSHAKE, |writer, _| writer.text(name), |bytes, _| messages::read_sasl_handshake(bytes))
            .await?;
        if error != messages::code::NONE {
            let said = messages::words(error);
            return Err(Fault(format!("sasl.mechanism {name}: {said}; it takes {}", takes.join(", "))));
        }
        let mut exchange = sasl.begin()?;
        let since = Instant::now();
        let mut answer = None;
        while let Some(said) = exchange.next(answer.as_deref())? {
            let answered = self
                .call(&SASL_AUTHENTICATE, |writer, _| writer.bytes(&said), messages::read_sasl_authenticate)
                .await?;
            if answered.error != messages::code::NONE {
                let reason = answered.message.unwrap_or_else(|| messages::words(answered.error));
                return Err(Fault(format!("SASL {name}: {reason}")));
            }
            if let Some(lifetime) = u64::try_from(answered.lifetime_ms).ok().filter(|lifetime| *lifetime > 0) {
                // Some time before its end, for a request that is under way.
                self.expires = Some(since + Duration::from_millis(lifetime - lifetime / 5));
            }
            answer = Some(answered.bytes);
        }
        Ok(())
    }
}

/// What is left of a response on its way. Lengths that go beyond it are faults.
pub(crate) struct Frame<'a, S> {
    pub(crate) stream: &'a mut S,
    pub(crate) left: usize,
    pub(crate) flexible: bool,
}

impl<S: AsyncBufRead + Unpin> Frame<'_, S> {
    fn claim(&mut self, length: usize) -> Result<(), Malformed> {
        self.left = self.left.checked_sub(length).ok_or(Malformed("it ends too early"))?;
        Ok(())
    }

    pub(crate) async fn take<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.claim(N)?;
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).await?;
        Ok(bytes)
    }

    pub(crate) async fn i16(&mut self) -> Result<i16, Fault> {
        self.take().await.map(i16::from_be_bytes)
    }

    pub(crate) async fn i32(&mut self) -> Result<i32, Fault> {
        self.take().await.map(i32::from_be_bytes)
    }

    pub(crate) async fn i64(&mut self) -> Result<i64, Fault> {
        self.take().await.map(i64::from_be_bytes)
    }

    /// A count of elements or of bytes, none as zero. Every element takes a byte at least.
    pub(crate) async fn count(&mut self) -> Result<usize, Fault> {
        let count = if self.flexible { (self.varint().await? as i32).wrapping_sub(1) } else { self.i32().await? };
        let count = usize::try_from(count).unwrap_or(0);
        if count > self.left {
            return Err(Malformed("an array is longer than its message").into());
        }
        Ok(count)
    }

    pub(crate) async fn text(&mut self) -> Result<String, Fault> {
        let length = if self.flexible { self.count().await? } else { self.i16().await?.max(0) as usize };
        let mut bytes = Vec::new();
        self.fill(&mut bytes, length).await?;
        String::from_utf8(bytes).map_err(|_| Malformed("a text is not UTF-8").into())
    }

    /// Appends so many bytes: from the socket, with no buffer between.
    pub(crate) async fn fill(&mut self, into: &mut Vec<u8>, length: usize) -> Result<(), Fault> {
        self.claim(length)?;
        into.reserve(length);
        let mut missing = length;
        while missing > 0 {
            match self.stream.read_buf(&mut (&mut *into).limit(missing)).await? {
                0 => return Err(Fault("the broker closed the connection".to_owned())),
                read => missing -= read,
            }
        }
        Ok(())
    }

    /// The end of a struct: its tagged fields.
    pub(crate) async fn end(&mut self, mut tagged: impl FnMut(u32, &[u8])) -> Result<(), Fault> {
        if self.flexible {
            for _ in 0..self.varint().await? {
                let (tag, length) = (self.varint().await?, self.varint().await?);
                let mut bytes = Vec::new();
                self.fill(&mut bytes, length as usize).await?;
                tagged(tag, &bytes);
            }
        }
        Ok(())
    }

    async fn varint(&mut self) -> Result<u32, Fault> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take().await?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed("a number is too long").into())
    }
}
