//! A partition's queue in librdkafka, from which messages are taken many at a time: one by one each costs more than
//! twice as much. Only C has the call for it, so this is the one place of the crate with unsafe code, and does nothing
//! else.

#![allow(unsafe_code)]

use super::worker::Client;
use crate::connection::Voice;
use model::record::Batch;
use rdkafka::bindings::{
    rd_kafka_consume_batch_queue, rd_kafka_header_get_all, rd_kafka_headers_t, rd_kafka_message_destroy,
    rd_kafka_message_headers, rd_kafka_message_t, rd_kafka_message_timestamp, rd_kafka_queue_destroy,
    rd_kafka_queue_get_partition, rd_kafka_queue_t, rd_kafka_timestamp_type_t,
};
use rdkafka::consumer::Consumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;
use std::ffi::{CStr, CString, c_char, c_void};
use std::marker::PhantomData;
use std::ptr::{NonNull, null, null_mut};
use std::sync::Arc;

/// How many messages are taken at once, at most.
const TOGETHER: usize = 1000;

/// A partition's queue, apart from the consumer's.
pub(crate) struct Queue {
    native: NonNull<rd_kafka_queue_t>,
    /// Room for what is taken.
    room: Vec<*mut rd_kafka_message_t>,
    /// Holds the consumer, and tells when the queue is no longer empty.
    _split: PartitionQueue<Voice>,
}

// SAFETY: librdkafka takes calls for a queue from any thread, and `room` is used by one call at a time.
unsafe impl Send for Queue {}

impl Queue {
    /// Splits a partition's queue off; none where librdkafka does not know the partition.
    pub(crate) fn split(
        consumer: &Arc<Client>,
        topic: &str,
        partition: i32,
        nonempty: impl Fn() + Send + Sync + 'static,
    ) -> Option<Queue> {
        let mut split = consumer.split_partition_queue(topic, partition)?;
        split.set_nonempty_callback(nonempty);
        let name = CString::new(topic).ok()?;
        // SAFETY: the client lives as long as the consumer, and the name as long as the call.
        let native = unsafe { rd_kafka_queue_get_partition(consumer.client().native_ptr(), name.as_ptr(), partition) };
        Some(Queue { native: NonNull::new(native)?, room: vec![null_mut(); TOGETHER], _split: split })
    }

    /// Takes what lies in it, or some of it. None of it is there again.
    pub(crate) fn take(&mut self) -> Taken<'_> {
        let (native, room) = (self.native.as_ptr(), &mut self.room);
        // SAFETY: the queue is there until it is dropped, and there is room for as many as are asked for.
        let count = unsafe { rd_kafka_consume_batch_queue(native, 0, room.as_mut_ptr(), room.len()) };
        Taken(room[..usize::try_from(count).unwrap_or(0)].iter())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: it is destroyed once, while `_split` still holds the client, and no message borrows it any more.
        unsafe { rd_kafka_queue_destroy(self.native.as_ptr()) }
    }
}

/// Messages on their way out of a queue.
pub(crate) struct Taken<'q>(std::slice::Iter<'q, *mut rd_kafka_message_t>);

impl<'q> Iterator for Taken<'q> {
    type Item = Message<'q>;

    fn next(&mut self) -> Option<Message<'q>> {
        Some(Message { native: NonNull::new(*self.0.next()?)?, queue: PhantomData })
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

/// A record, or what is wrong instead.
pub(crate) struct Message<'q> {
    native: NonNull<rd_kafka_message_t>,
    queue: PhantomData<&'q Queue>,
}

impl Message<'_> {
    fn native(&self) -> &rd_kafka_message_t {
        // SAFETY: the queue has filled its place with a message, which is there until this is dropped.
        unsafe { self.native.as_ref() }
    }

    /// What is told instead of a record.
    pub(crate) fn error(&self) -> Option<RDKafkaErrorCode> {
        let error = self.native().err;
        (error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| error.into())
    }

    /// The record's offset; of a partition's end, the one after all that is there.
    pub(crate) fn offset(&self) -> i64 {
        self.native().offset
    }

    /// Appends the record to a batch.
    pub(crate) fn push_to(&self, batch: &mut Batch) {
        let native = self.native();
        let mut kind = rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is there.
        let millis = unsafe { rd_kafka_message_timestamp(native, &mut kind) };
        let known = kind != rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && millis != -1;
        let appended = kind == rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME;
        let (key, value) = (self.bytes(native.key, native.key_len), self.bytes(native.payload, native.len));
        batch.push(native.offset, known.then_some(millis), appended, key, value, self.headers());
    }

    /// Names and values. A header whose name is not UTF-8 is lost: no hostile record stops a source.
    fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        let mut headers: *mut rd_kafka_headers_t = null_mut();
        // SAFETY: the message is there, and keeps its headers.
        let found = unsafe { rd_kafka_message_headers(self.native(), &mut headers) };
        let count = if found == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR { usize::MAX } else { 0 };
        let header = move |place| {
            let (mut name, mut value, mut length): (*const c_char, *const c_void, usize) = (null(), null(), 0);
            // SAFETY: the headers are there as long as their message; beyond the last it fails and sets nothing.
            let found = unsafe { rd_kafka_header_get_all(headers, place, &mut name, &mut value, &mut length) };
            // SAFETY: a name that was found ends with a zero, and is there as long as the message.
            let name = || unsafe { CStr::from_ptr(name) }.to_str().ok();
            (found == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| (name(), self.bytes(value, length)))
        };
        (0..count).map_while(header).filter_map(|(name, value)| Some((name?, value)))
    }

    fn bytes(&self, start: *const c_void, length: usize) -> Option<&[u8]> {
        // SAFETY: librdkafka gives no start where there is nothing, else one of so many bytes that the message keeps.
        (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast(), length) })
    }
}

impl Drop for Message<'_> {
    fn drop(&mut self) {
        // SAFETY: it is destroyed once, and not looked at again.
        unsafe { rd_kafka_message_destroy(self.native.as_ptr()) }
    }
}
