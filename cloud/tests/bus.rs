//! What every bus must do. New ones are added to `buses`.

use std::sync::Arc;

use bytes::Bytes;
use postern_cloud::bus::{Bus, InProcess, NotDelivered, QUEUE_MAX};

fn buses() -> Vec<Arc<dyn Bus>> {
    vec![Arc::new(InProcess::default())]
}

fn number(at: usize) -> Bytes {
    Bytes::from(at.to_string())
}

#[tokio::test]
async fn messages_arrive_in_order_on_their_subject_only() {
    for bus in buses() {
        let (mut one, mut other) = (bus.subscribe("agent/1").await, bus.subscribe("agent/2").await);
        for at in 0..100 {
            bus.publish("agent/1", number(at)).await.unwrap();
        }
        bus.publish("agent/2", number(7)).await.unwrap();
        for at in 0..100 {
            assert_eq!(one.next().await, Some(number(at)));
        }
        assert_eq!(other.next().await, Some(number(7)));
    }
}

#[tokio::test]
async fn every_subscriber_gets_a_message_once() {
    for bus in buses() {
        let mut both = [bus.subscribe("s").await, bus.subscribe("s").await];
        bus.publish("s", number(1)).await.unwrap();
        bus.publish("s", number(2)).await.unwrap();
        for subscription in &mut both {
            assert_eq!(subscription.next().await, Some(number(1)));
            assert_eq!(subscription.next().await, Some(number(2)));
        }
    }
}

#[tokio::test]
async fn nothing_is_kept_for_those_who_come_later() {
    for bus in buses() {
        assert_eq!(
            bus.publish("s", number(1)).await,
            Err(NotDelivered::NobodyListens)
        );
        let mut late = bus.subscribe("s").await;
        bus.publish("s", number(2)).await.unwrap();
        assert_eq!(late.next().await, Some(number(2)));
        drop(late);
        assert_eq!(
            bus.publish("s", number(3)).await,
            Err(NotDelivered::NobodyListens)
        );
    }
}

#[tokio::test]
async fn a_subscriber_that_does_not_keep_up_loses_messages_and_stops_nobody() {
    for bus in buses() {
        let mut slow = bus.subscribe("s").await;
        for at in 0..QUEUE_MAX {
            bus.publish("s", number(at)).await.unwrap();
        }
        assert_eq!(bus.publish("s", number(QUEUE_MAX)).await, Err(NotDelivered::Full));
        assert_eq!(slow.next().await, Some(number(0)));
        bus.publish("s", number(QUEUE_MAX)).await.unwrap();
    }
}
