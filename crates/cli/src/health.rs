//! `vitalsign health`: what a running server says of its elements, the worst first.

use crate::Failure;
use api::v1::health_client::HealthClient;
use api::v1::{self, GetElementRequest, ListElementsRequest};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// Elements asked for at once.
const PAGE: u32 = 1000;
/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Say how healthy the elements are, the worst first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vitalsign health
  vitalsign health checkout
  vitalsign health 'checkout -> payments' --output json

Exit code 1 where anything that is shown is DEVIATING or CRITICAL, and where the server cannot be asked.")]
pub(crate) struct Arguments {
    /// One element with its checks: `checkout`, or `checkout -> payments`. Without it: all.
    #[arg(value_name = "ELEMENT")]
    element: Option<String>,
    /// The server's gRPC address.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7979")]
    server: String,
    /// How the answer is printed.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(error.to_string()))?;
    runtime.block_on(async {
        let mut client = HealthClient::new(connect(&arguments.server).await?);
        let answer = match &arguments.element {
            Some(name) => one(&mut client, name).await,
            None => all(&mut client).await.map(|elements| (elements, Vec::new())),
        };
        let (elements, checks) = answer.map_err(|status| refused(&arguments.server, &status))?;
        match arguments.output {
            Output::Json => println!("{:#}", as_json(&elements, &checks)),
            Output::Table => print!("{}", as_table(&elements, &checks, std::io::stdout().is_terminal())),
        }
        let ill = elements.iter().any(|element| severity(element) >= v1::State::Deviating);
        if ill { Err(Failure::Failed(String::new())) } else { Ok(()) }
    })
}

/// Connects, or says what may be done about it.
pub(crate) async fn connect(server: &str) -> Result<Channel, Failure> {
    let address = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
    let endpoint = Endpoint::from_shared(address)
        .map_err(|_| Failure::Usage(format!("--server {server}: wanted is an address such as 127.0.0.1:7979")))?;
    endpoint.connect_timeout(PATIENCE).connect().await.map_err(|_| {
        Failure::Failed(format!(
            "no server answers at {server}; start one by `vitalsign run` or `vitalsign demo`, or name another by --server"
        ))
    })
}

fn refused(server: &str, status: &Status) -> Failure {
    match status.code() {
        Code::NotFound | Code::InvalidArgument => Failure::Failed(status.message().to_owned()),
        _ => Failure::Failed(format!("the server at {server} does not answer as wanted: {}", status.message())),
    }
}

async fn one(client: &mut HealthClient<Channel>, name: &str) -> Result<(Vec<v1::Element>, Vec<v1::Check>), Status> {
    let answer = client.get_element(GetElementRequest { name: name.to_owned() }).await?.into_inner();
    Ok((answer.element.into_iter().collect(), answer.checks))
}

async fn all(client: &mut HealthClient<Channel>) -> Result<Vec<v1::Element>, Status> {
    let mut elements = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListElementsRequest { filter: None, page_size: PAGE, page_token };
        let answer = client.list_elements(request).await?.into_inner();
        elements.extend(answer.elements);
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    // The order of names stays where severity is the same.
    elements.sort_by_key(|element| std::cmp::Reverse(severity(element)));
    Ok(elements)
}

/// Of propagated health, which is never less severe than what is wrong with the element itself, unless its
/// configuration wants that.
fn severity(element: &v1::Element) -> v1::State {
    let state = |standing: &Option<v1::Standing>| standing.as_ref().map_or(v1::State::Unspecified, v1::Standing::state);
    state(&element.own).max(state(&element.propagated))
}

fn as_table(elements: &[v1::Element], checks: &[v1::Check], colour: bool) -> String {
    let mut rows = vec![["ELEMENT", "HEALTH", "OWN", "SINCE", "REASON"].map(str::to_owned)];
    for element in elements {
        let (own, propagated) =
            (element.own.clone().unwrap_or_default(), element.propagated.clone().unwrap_or_default());
        rows.push([
            element.name.clone(),
            state(propagated.state()).to_owned(),
            state(own.state()).to_owned(),
            time(propagated.since.as_ref()),
            propagated.message,
        ]);
    }
    let mut text = laid_out(&rows, colour);
    if !checks.is_empty() {
        let mut rows = vec![["CHECK", "STATE", "INSTANCE", "SINCE", "REASON"].map(str::to_owned)];
        for check in checks {
            let reason = check.error.as_ref().map_or(&check.message, |error| &error.message).clone();
            let mut labels: Vec<String> = check.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            labels.sort();
            let state = state(check.state()).to_owned();
            rows.push([check.check.clone(), state, labels.join(","), time(check.since.as_ref()), reason]);
        }
        text += "\n";
        text += &laid_out(&rows, colour);
    }
    text
}

/// Columns side by side, the last one as long as it is.
fn laid_out(rows: &[[String; 5]], colour: bool) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3].map(width);
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, width) in widths.iter().enumerate() {
            let cell = format!("{:width$}  ", row[column]);
            line += &if colour && column == 1 { painted(&row[1], &cell) } else { cell };
        }
        line += &row[4];
        text += line.trim_end();
        text += "\n";
    }
    text
}

/// A text in the colour of a state.
pub(crate) fn painted(state: &str, text: &str) -> String {
    let colour = match state {
        "CRITICAL" => "1;31",
        "DEVIATING" => "33",
        "CLEAR" => "32",
        "UNKNOWN" => "35",
        _ => return text.to_owned(),
    };
    format!("\x1b[{colour}m{text}\x1b[0m")
}

pub(crate) fn state(state: v1::State) -> &'static str {
    match state {
        v1::State::Unspecified => "-",
        state => state.as_str_name().trim_start_matches("STATE_"),
    }
}

fn time(time: Option<&prost_types::Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| clock(time, 1))
}

/// RFC 3339, cut to this many seconds.
pub(crate) fn clock(time: &prost_types::Timestamp, secs: i64) -> String {
    let nanos = time.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(time.nanos));
    model::Time::from_nanos(nanos).floor(model::Span::from_secs(secs)).to_string()
}

fn as_json(elements: &[v1::Element], checks: &[v1::Check]) -> Value {
    let standing = |standing: &Option<v1::Standing>| {
        let standing = standing.clone().unwrap_or_default();
        let since = standing.since.as_ref().map(|since| clock(since, 1));
        json!({ "state": state(standing.state()), "since": since, "message": standing.message })
    };
    let elements = elements.iter().map(|element| {
        json!({
            "name": element.name,
            "kind": element.kind().as_str_name().trim_start_matches("ELEMENT_KIND_").to_lowercase(),
            "type": element.r#type,
            "labels": element.labels,
            "own": standing(&element.own),
            "propagated": standing(&element.propagated),
        })
    });
    let elements: Vec<Value> = elements.collect();
    let checks = checks.iter().map(|check| {
        json!({
            "check": check.check,
            "labels": check.labels,
            "state": state(check.state()),
            "since": check.since.as_ref().map(|since| clock(since, 1)),
            "message": check.message,
            "error": check.error.as_ref().map(|error| &error.message),
        })
    });
    let checks: Vec<Value> = checks.collect();
    if checks.is_empty() { json!({ "elements": elements }) } else { json!({ "elements": elements, "checks": checks }) }
}
