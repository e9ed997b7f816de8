//! Icinga 2, which watches hosts and their services from outside: each line of its event stream is a
//! record. Every object is checked every five seconds; a change of state is an event of its own.

use crate::{Fault, Moment, Output, random::Random};
use serde_json::{Value, json};

pub(crate) const TOPIC: &str = "icinga";

/// Hosts, and the service of each that is checked beside the host itself.
const OBJECTS: [(&str, Option<&str>); 6] = [
    ("mq-1", None),
    ("mq-1", Some("amqp")),
    ("cache-1", None),
    ("cache-1", Some("redis")),
    ("card-gateway", None),
    ("card-gateway", Some("https")),
];

/// The last state of each object; none before its first check.
pub(crate) struct Watched {
    states: [Option<u8>; OBJECTS.len()],
}

impl Watched {
    pub(crate) fn new() -> Watched {
        Watched { states: [None; OBJECTS.len()] }
    }

    /// Checks whose turn it is in this second.
    pub(crate) fn write(&mut self, moment: &Moment, random: &mut Random, outputs: &mut Vec<Output>) {
        for (place, (host, service)) in OBJECTS.into_iter().enumerate() {
            if (moment.second + place as i64) % 5 != 0 {
                continue;
            }
            let down = host == "mq-1" && moment.broken(Fault::HostDown);
            // A host is up or down; the states of a service go up to 2 for critical, 3 for unknown.
            let state = match (down, service) {
                (false, _) => 0,
                (true, None) => 1,
                (true, Some(_)) => 2,
            };
            let time = moment.within(random);
            let seconds = time.millis() as f64 / 1000.0;
            let output = match (down, service) {
                (true, None) => "PING CRITICAL - Packet loss = 100%",
                (true, Some(_)) => "CRITICAL - connect to address 10.0.0.7 port 5672: No route to host",
                (false, None) => "PING OK - Packet loss = 0%, RTA = 0.41 ms",
                (false, Some(_)) => "TCP OK - 0.002 second response time",
            };
            let exit_status = if down { 2 } else { 0 };
            let mut event = json!({
                "acknowledgement": false,
                "check_result": {
                    "active": true,
                    "check_source": "icinga-1",
                    "execution_end": seconds,
                    "exit_status": exit_status,
                    "output": output,
                    "performance_data": [format!("time={}s;3;5;0", random.around(0.002, 0.5))],
                    "state": exit_status,
                    "type": "CheckResult",
                },
                "downtime_depth": 0,
                "host": host,
                "timestamp": seconds,
                "type": "CheckResult",
            });
            if let Some(service) = service {
                event["service"] = json!(service);
            }
            push(&event, time, outputs);
            if self.states[place] != Some(state) {
                self.states[place] = Some(state);
                event["type"] = json!("StateChange");
                event["state"] = json!(state);
                event["state_type"] = json!(1);
                push(&event, time, outputs);
            }
        }
    }
}

fn push(event: &Value, time: model::Time, outputs: &mut Vec<Output>) {
    let value = event.to_string().into_bytes();
    outputs.push(Output { topic: TOPIC, key: None, value, headers: Vec::new(), time });
}
