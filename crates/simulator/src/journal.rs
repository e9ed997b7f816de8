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
    let mut log = |level: &str, service: &str, message: String, more: Value| {
        let time = moment.within(random);
        let mut event = json!({ "ts": time.to_string(), "level": level, "service": service, "message": message });
        if let (Some(event), Value::Object(more)) = (event.as_object_mut(), more) {
            event.extend(more);
        }
        outputs.push(record(EVENTS, Some(service.into()), time, &event));
    };
    log("info", "checkout", format!("order {order} placed"), json!({ "order": order }));
    if moment.second % 3 == 0 {
        log("info", "catalogue", "page rendered".into(), json!({ "took_ms": 20 + order % 17 }));
    }
    if moment.broken(Fault::SlowDatabase) && moment.second % 2 == 0 {
        log("warn", "checkout", "query took longer than 500 ms".into(), json!({ "database": "orders" }));
    }
    if moment.broken(Fault::FailingRelation) && moment.second % 2 == 0 {
        let message = format!("payment of order {order} failed: 502 from payments");
        log("error", "checkout", message, json!({ "order": order }));
    }
    if moment.broken(Fault::ErrorBurst) {
        for _ in 0..2 + order % 3 {
            log("fatal", "catalogue", "cannot read the product index".into(), json!({ "exception": exception() }));
        }
    }
}

fn exception() -> Value {
    json!({
        "class": "java.lang.OutOfMemoryError",
        "message": "Direct buffer memory",
        "stack": "java.lang.OutOfMemoryError: Direct buffer memory\n\
                  \tat shop.catalogue.Index.read(Index.java:118)\n\
                  \tat shop.catalogue.Pages.render(Pages.java:42)",
    })
}

fn record(topic: &'static str, key: Option<Vec<u8>>, time: Time, body: &Value) -> Output {
    let headers = vec![("content-type", b"application/json".to_vec())];
    Output { topic, key, value: body.to_string().into_bytes(), headers, time }
}
