//! What becomes of notices, and that nobody waits for them.

use super::*;
use crate::support::sign;

#[tokio::test]
async fn a_notice_is_one_post_of_json() {
    let webhook = Webhook::that(vec![Does::status("204 No Content")]).await;
    let (notifier, mut told) = notifier(config(quick()));
    notifier.send(&webhook.url("/services/T0?key=k"), notice("7"));
    assert_eq!(delivered(&next(&mut told).await), ("7".to_owned(), 1));
    let heard = webhook.heard();
    let (head, body) = heard[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /services/T0?key=k HTTP/1.1\r\n"), "{head}");
    for header in [
        &format!("host: {}", webhook.address),
        "content-type: application/json",
        "user-agent: mulgil/0.1.0",
        "mulgil-event: failure",
        "mulgil-notice: 7",
    ] {
        assert!(
            head.lines().any(|line| line.eq_ignore_ascii_case(header)),
            "{header}: {head}"
        );
    }
    assert_eq!(serde_json::from_str::<Notice>(body).unwrap(), notice("7"));
    assert_eq!(heard.len(), 1);
}

#[tokio::test]
async fn what_may_pass_is_tried_again_under_the_same_id() {
    let script = ["500 Internal Server Error", "429 Too Many Requests"].map(Does::status);
    let mut script = script.to_vec();
    script.extend([Does::Closes, Does::status("200 OK")]);
    let webhook = Webhook::that(script).await;
    let limits = NotifyLimits { tries: 6, ..quick() };
    let (notifier, mut told) = notifier(config(limits));
    notifier.send(&webhook.url("/"), notice("7"));
    assert_eq!(delivered(&next(&mut told).await), ("7".to_owned(), 4));
    assert!(
        webhook
            .heard()
            .iter()
            .all(|request| request.contains("mulgil-notice: 7\r\n"))
    );
}

#[tokio::test]
async fn an_hour_of_500_holds_nothing_up() {
    let broken = Webhook::that(vec![Does::status("500 Internal Server Error")]).await;
    let hanging = Webhook::that(vec![Does::Hangs]).await;
    let well = Webhook::that(vec![Does::status("200 OK")]).await;
    let (notifier, mut told) = notifier(config(quick()));
    notifier.send(&hanging.url("/"), notice("hangs"));
    sign(&hanging.asked).await;
    for id in ["1", "2", "3"] {
        notifier.send(&broken.url("/"), notice(id));
    }
    // The one that hangs is still hanging.
    let first = given_up(&next(&mut told).await);
    assert_eq!((first.0.as_str(), first.2), ("1", Retry::Later));
    let text = format!(
        "the webhook http://{}/… answered 500 Internal Server Error; the notice was given up after 3 tries",
        broken.address
    );
    assert_eq!(first.1, text);
    // From then on each is tried once.
    for id in ["2", "3"] {
        let next = given_up(&next(&mut told).await);
        assert_eq!(next.0, id);
        assert!(next.1.ends_with("given up after one try"), "{}", next.1);
    }
    assert_eq!(broken.heard().len(), 5);
    notifier.send(&well.url("/"), notice("well"));
    assert_eq!(delivered(&next(&mut told).await).0, "well");
    assert_eq!(hanging.heard().len(), 1);
}

#[tokio::test]
async fn a_webhook_that_recovers_has_all_its_tries_again() {
    let mut script = vec![Does::status("500 Internal Server Error"); 3];
    script.extend([Does::status("200 OK"), Does::Closes, Does::status("200 OK")]);
    let webhook = Webhook::that(script).await;
    let (notifier, mut told) = notifier(config(quick()));
    for id in ["1", "2", "3"] {
        notifier.send(&webhook.url("/"), notice(id));
    }
    assert_eq!(given_up(&next(&mut told).await).0, "1");
    assert_eq!(delivered(&next(&mut told).await), ("2".to_owned(), 1));
    assert_eq!(delivered(&next(&mut told).await), ("3".to_owned(), 2));
}

#[tokio::test]
async fn one_that_hangs_or_never_ends_is_left_within_the_time_of_a_try() {
    let limits = NotifyLimits {
        tries: 2,
        one_try: Duration::from_millis(150),
        ..quick()
    };
    let hanging = Webhook::that(vec![Does::Hangs]).await;
    let (notifier, mut told) = notifier(config(limits));
    notifier.send(&hanging.url("/"), notice("7"));
    let (_, message, _) = given_up(&next(&mut told).await);
    assert!(
        message.contains("did not answer within 150ms; the notice was given up after 2 tries"),
        "{message}"
    );
    // An answer without an end is an answer: no more of it is read than it takes.
    let flood = Webhook::that(vec![Does::Floods]).await;
    notifier.send(&flood.url("/"), notice("8"));
    assert_eq!(delivered(&next(&mut told).await), ("8".to_owned(), 1));
}

#[tokio::test]
async fn what_will_not_pass_is_not_tried_again() {
    for status in [
        "400 Bad Request",
        "401 Unauthorized",
        "404 Not Found",
        "410 Gone",
        "302 Found",
    ] {
        let webhook = Webhook::that(vec![Does::status(status)]).await;
        let (notifier, mut told) = notifier(config(quick()));
        notifier.send(&webhook.url("/"), notice("7"));
        let (_, message, retry) = given_up(&next(&mut told).await);
        assert!(
            message.contains(&format!("answered {status}; the notice was given up after one try")),
            "{message}"
        );
        assert_eq!(retry, Retry::AfterHumanFix);
        assert_eq!(webhook.heard().len(), 1);
    }
}

#[tokio::test]
async fn the_time_that_a_webhook_asks_for_is_given_or_the_notice_given_up() {
    let later = |after: &str| {
        Does::Answers(format!(
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {after}\r\nContent-Length: 0\r\n\r\n"
        ))
    };
    let limits = NotifyLimits {
        // Without the header, the test would wait for this long.
        pause: Duration::from_mins(5),
        longest_pause: Duration::from_mins(5),
        ..quick()
    };
    let script = vec![
        later("0"),
        later("Sun, 06 Nov 1994 08:49:37 GMT"),
        Does::status("200 OK"),
    ];
    let webhook = Webhook::that(script).await;
    let (notifier, mut told) = notifier(config(limits));
    notifier.send(&webhook.url("/"), notice("7"));
    assert_eq!(delivered(&next(&mut told).await), ("7".to_owned(), 3));
    let never = Webhook::that(vec![later("86400")]).await;
    notifier.send(&never.url("/"), notice("8"));
    assert_eq!(given_up(&next(&mut told).await).0, "8");
    assert_eq!(never.heard().len(), 1);
}

#[tokio::test]
async fn what_does_not_fit_is_dropped_and_said_and_nobody_waits() {
    let hanging = Webhook::that(vec![Does::Hangs]).await;
    let limits = NotifyLimits { waiting: 5, ..quick() };
    let (notifier, mut told) = notifier(config(limits));
    notifier.send(&hanging.url("/"), notice("first"));
    sign(&hanging.asked).await;
    // One is being sent, five wait, twenty do not fit.
    for id in 0..25 {
        notifier.send(&hanging.url("/"), notice(&id.to_string()));
    }
    for expected in [1, 2, 4, 8, 16] {
        match next(&mut told).await {
            Delivery::Dropped { dropped, fault } => {
                assert_eq!((dropped, fault.code.to_string().as_str()), (expected, "MG5250"));
                assert!(
                    fault
                        .message
                        .starts_with(&format!("{expected} notices to http://{}/…", hanging.address))
                );
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(told.try_recv().is_err());
    let counts: Vec<f64> = notifier
        .metrics()
        .series
        .iter()
        .map(|series| match series.value {
            mulgil_server::metrics::Value::Number(number) => number,
            mulgil_server::metrics::Value::Buckets { .. } => panic!("a histogram"),
        })
        .collect();
    assert_eq!(counts, [0.0, 0.0, 20.0]);
    // At the end it is not waited for longer than was said.
    assert_eq!(notifier.finish(Duration::from_millis(50)).await, 6);
}

#[tokio::test]
async fn webhooks_have_a_bound_and_those_with_nothing_to_do_make_room() {
    let webhook = Webhook::that(vec![Does::status("200 OK")]).await;
    let hanging = Webhook::that(vec![Does::Hangs]).await;
    let limits = NotifyLimits { webhooks: 2, ..quick() };
    let (notifier, mut told) = notifier(config(limits));
    for path in ["/a", "/b", "/c", "/d"] {
        notifier.send(&webhook.url(path), notice(path));
        assert_eq!(delivered(&next(&mut told).await).0, path);
    }
    for path in ["/e", "/f"] {
        notifier.send(&hanging.url(path), notice(path));
        sign(&hanging.asked).await;
    }
    notifier.send(&webhook.url("/g"), notice("g"));
    assert!(matches!(next(&mut told).await, Delivery::Dropped { dropped: 1, .. }));
}

#[tokio::test]
async fn the_end_does_not_wait_for_pauses() {
    let webhook = Webhook::that(vec![Does::status("500 Internal Server Error"), Does::status("200 OK")]).await;
    let limits = NotifyLimits {
        pause: Duration::from_mins(5),
        longest_pause: Duration::from_mins(5),
        ..quick()
    };
    let (notifier, mut told) = notifier(config(limits));
    notifier.send(&webhook.url("/"), notice("1"));
    sign(&webhook.asked).await;
    notifier.send(&webhook.url("/"), notice("2"));
    assert_eq!(notifier.finish(FOREVER).await, 0);
    // The first is tried once more, or was in its first try when the end came; the second is sent.
    let first = next(&mut told).await;
    assert!(matches!(&first, Delivery::Delivered { id, .. } | Delivery::GaveUp { id, .. } if id == "1"));
    assert_eq!(delivered(&next(&mut told).await), ("2".to_owned(), 1));
}
