//! What the shop's own programs write as JSON: some numbers, and the log.

use crate::{Fault, Moment, Output, random::Random};
use model::Time;
use serde_json::{Value, json};

pub(crate) const METRICS: &str = "shop.metrics";
pub(crate) const EVENTS: &str = "shop.events";

/// What the shop's programs write in this second.
pub(crate) fn write(moment: &Moment, orders: &mut u64, random: &mut Random, outputs: &mut Vec<Output>) {
    if moment.second % 2 == 0 {
        let backlog = moment.progress(Fault::HostDown).map_or(0.0, |progress| 900.0 * progress);
        let a_minute = if moment.broken(Fault::SlowDatabase) { 9.0 } else { 55.0 };
        for (name, service, value) in [
            ("queue.depth", "message queue", (random.around(12.0, 0.4) + backlog).round()),
            ("orders.per_minute", "checkout", random.around(a_minute, 0.2).round()),
        ] {
            let time = moment.within(random);
            let body = json!({ "ts": time.millis(), "name": name, "service": service, "value": value });
            outputs.push(record(METRICS, None, time, &body));
        }
    }

    *orders += 1;
    let order = *orders;
    log(
        moment,
        random,
        outputs,
        json!({ "level": "info", "service": "checkout", "message": format!("order {order} placed"), "order": order }),
    );
    if moment.second % 3 == 0 {
        let took_ms = random.below(40);
        log(
            moment,
            random,
            outputs,
            json!({ "level": "info", "service": "catalogue", "message": "page rendered", "took_ms": took_ms }),
        );
    }
    if moment.broken(Fault::SlowDatabase) && moment.second % 2 == 0 {
        log(
            moment,
            random,
            outputs,
            json!({ "level": "warn", "service": "checkout", "message": "query took longer than 500 ms", "database": "orders" }),
        );
    }
    if moment.broken(Fault::FailingRelation) && moment.second % 2 == 0 {
        log(
            moment,
            random,
            outputs,
            json!({ "level": "error", "service": "checkout", "message": format!("payment of order {order} failed: 502 from payments"), "order": order }),
        );
    }
    if moment.broken(Fault::ErrorBurst) {
        for _ in 0..2 + random.below(3) {
            log(
                moment,
                random,
                outputs,
                json!({
                    "level": "fatal",
                    "service": "catalogue",
                    "message": "cannot read the product index",
                    "exception": {
                        "class": "java.lang.OutOfMemoryError",
                        "message": "Direct buffer memory",
                        "stack": "java.lang.OutOfMemoryError: Direct buffer memory\n\tat shop.catalogue.Index.read(Index.java:118)\n\tat shop.catalogue.Pages.render(Pages.java:42)",
                    },
                }),
            );
        }
    }
}

fn log(moment: &Moment, random: &mut Random, outputs: &mut Vec<Output>, mut event: Value) {
    let time = moment.within(random);
    event["ts"] = json!(time.to_string());
    let key = event["service"].as_str().map(|service| service.as_bytes().to_vec());
    outputs.push(record(EVENTS, key, time, &event));
}

fn record(topic: &'static str, key: Option<Vec<u8>>, time: Time, body: &Value) -> Output {
    let headers = vec![("content-type", b"application/json".to_vec())];
    Output { topic, key, value: body.to_string().into_bytes(), headers, time }
}
