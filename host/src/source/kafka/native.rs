//! The consumer's queue, read through librdkafka's own functions.
//!
//! Why not through `BaseConsumer::poll`: its errors do not say which topic they are about, and its
//! rebalances must be answered inside a callback. Here both are events like any other. Every
//! function is safe to call; what makes it so stands beside each `unsafe`.

use std::ffi::{CStr, CString, c_char};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;
use std::thread::Thread;

use rdkafka::bindings as rd;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientContext, TopicPartitionList};

use super::super::SourceError;
use super::REQUEST;
use super::queue::Queue;
use super::topics::{self, Asked, Described};
use crate::names::Offset;

/// A topic's name and a partition's number.
pub type Place = (String, i32);

/// Sends librdkafka's log where ours goes.
pub struct Logged;

impl ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log(level, facility, text);
    }

    fn error(&self, _: KafkaError, _: &str) {
        // The same error comes as an event or as a result.
    }
}

impl ConsumerContext for Logged {}

/// librdkafka speaks of an error for each try; what a person must know comes as an event.
pub fn log(level: RDKafkaLogLevel, facility: &str, text: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::warn!(target: "librdkafka", facility, "{text}");
        }
        RDKafkaLogLevel::Debug => tracing::trace!(target: "librdkafka", facility, "{text}"),
        _ => tracing::debug!(target: "librdkafka", facility, "{text}"),
    }
}

/// A consumer and its queue. Any thread may use it, but only one may poll.
pub struct Client {
    // Given back before the consumer is, which is dropped after it.
    queue: Queue,
    consumer: BaseConsumer<Logged>,
    asked: Asked,
}

impl Client {
    /// A consumer for the group that `group.id` names, or one in no group, that asks only.
    ///
    /// # Errors
    /// librdkafka refuses the properties, each alone or together.
    pub fn new(config: &ClientConfig) -> KafkaResult<Self> {
        let consumer: BaseConsumer<Logged> = config.create_with_context(Logged)?;
        let handle = consumer.client().native_ptr();
        // SAFETY: the handle is alive. Each function hands out a reference of its own. Outside of a
        // group there is no consumer queue, and what is heard stays in the main one.
        let queue = unsafe {
            Queue::of(rd::rd_kafka_queue_get_consumer(handle))
                .or_else(|| Queue::of(rd::rd_kafka_queue_get_main(handle)))
        };
        let queue = queue
            .ok_or_else(|| KafkaError::ClientCreation("there is no consumer queue".to_owned()))?;
        Ok(Self {
            queue,
            consumer,
            asked: Asked::default(),
        })
    }

    pub fn consumer(&self) -> &BaseConsumer<Logged> {
        &self.consumer
    }

    /// Asks for topics, see [`topics::describe`].
    ///
    /// # Errors
    /// As there.
    pub fn describe(&self, brokers: &str, names: &[&str]) -> Result<Vec<Described>, SourceError> {
        topics::describe(self.consumer.client(), &self.asked, brokers, names, REQUEST)
    }

    pub fn is_cooperative(&self) -> bool {
        matches!(
            self.consumer.rebalance_protocol(),
            RebalanceProtocol::Cooperative
        )
    }

    /// What happened next, if anything did.
    pub fn poll(&self) -> Option<Happened<'_>> {
        self.queue.poll()
    }

    /// Has a thread that is parked go on when something happens.
    pub fn wakes(&self, thread: Thread) {
        self.queue.wakes(thread);
    }

    /// The end of a partition as its last fetch told it, without asking anybody.
    pub fn known_end(&self, topic: &str, number: i32) -> Option<Offset> {
        let topic = CString::new(topic).ok()?;
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the handle is alive, the name ends in a nul, both results are ours.
        let failed = unsafe {
            rd::rd_kafka_get_watermark_offsets(
                self.consumer.client().native_ptr(),
                topic.as_ptr(),
                number,
                &mut low,
                &mut high,
            )
        };
        let known = failed == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0;
        known.then_some(high)
    }
}

/// An event of the queue, which is freed with this.
pub struct Happened<'q> {
    event: NonNull<rd::rd_kafka_event_t>,
    queue: PhantomData<&'q Queue>,
}

/// What an event says.
pub enum What<'e> {
    Message(Message<'e>),
    /// The group gives these partitions: all (eager), or these as well (cooperative).
    Assign(Vec<Place>),
    /// The group takes these partitions away.
    Revoke(Vec<Place>),
    /// The end of a partition was reached, at this offset.
    End(Place, Offset),
    Failure(Failure),
    Nothing,
}

/// An error that librdkafka reports on its own.
#[derive(Debug)]
pub struct Failure {
    pub code: RDKafkaErrorCode,
    /// The client can't go on.
    pub fatal: bool,
    pub place: Option<Place>,
    pub text: String,
}

impl Drop for Happened<'_> {
    fn drop(&mut self) {
        // SAFETY: the event is ours, and freed once. What borrows from it borrows from `self`.
        unsafe { rd::rd_kafka_event_destroy(self.event.as_ptr()) }
    }
}

impl Happened<'_> {
    /// # Safety
    /// The event was polled just now, and nobody else frees it.
    pub(super) unsafe fn of(event: NonNull<rd::rd_kafka_event_t>) -> Self {
        Self {
            event,
            queue: PhantomData,
        }
    }

    /// What happened. A message is handed out by the first call only.
    pub fn what(&self) -> What<'_> {
        // SAFETY: the event is alive as long as `self`.
        match unsafe { rd::rd_kafka_event_type(self.event.as_ptr()) } {
            rd::RD_KAFKA_EVENT_FETCH => self.message(),
            rd::RD_KAFKA_EVENT_REBALANCE => self.rebalance(),
            rd::RD_KAFKA_EVENT_ERROR => self.failure(),
            rd::RD_KAFKA_EVENT_LOG => {
                self.log();
                What::Nothing
            }
            _ => What::Nothing,
        }
    }

    fn message(&self) -> What<'_> {
        // SAFETY: the event is alive, and the message lives as long as it does.
        let message = unsafe { rd::rd_kafka_event_message_next(self.event.as_ptr()).as_ref() };
        message.map_or(What::Nothing, |message| What::Message(Message(message)))
    }

    fn rebalance(&self) -> What<'_> {
        // SAFETY: the event is alive; the list lives as long as it does, and is only read.
        let (code, list) = unsafe {
            (
                rd::rd_kafka_event_error(self.event.as_ptr()),
                rd::rd_kafka_event_topic_partition_list(self.event.as_ptr()).as_ref(),
            )
        };
        let places = list.map(places).unwrap_or_default();
        match code {
            rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => What::Assign(places),
            _ => What::Revoke(places),
        }
    }

    fn failure(&self) -> What<'_> {
        let event = self.event.as_ptr();
        // SAFETY: the event is alive, and so is its text.
        let (code, fatal, text) = unsafe {
            (
                rd::rd_kafka_event_error(event).into(),
                rd::rd_kafka_event_error_is_fatal(event) != 0,
                text_of(rd::rd_kafka_event_error_string(event)),
            )
        };
        // SAFETY: what is handed out is ours to free, after its last use.
        let place = unsafe {
            let found = rd::rd_kafka_event_topic_partition(event);
            let place = found.as_ref().map(|found| (place(found), found.offset));
            if !found.is_null() {
                rd::rd_kafka_topic_partition_destroy(found);
            }
            place
        };
        match (code, place) {
            (RDKafkaErrorCode::PartitionEOF, Some((place, offset))) => What::End(place, offset),
            (code, place) => What::Failure(Failure {
                code,
                fatal,
                place: place.map(|(place, _)| place),
                text,
            }),
        }
    }

    fn log(&self) {
        let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the event is alive, and so are its texts.
        unsafe {
            let event = self.event.as_ptr();
            if rd::rd_kafka_event_log(event, &mut facility, &mut text, &mut level) == 0 {
                log(log_level(level), &text_of(facility), &text_of(text));
            }
        }
    }
}

fn log_level(level: i32) -> RDKafkaLogLevel {
    match level {
        ..=2 => RDKafkaLogLevel::Critical,
        3 => RDKafkaLogLevel::Error,
        4 => RDKafkaLogLevel::Warning,
        5 | 6 => RDKafkaLogLevel::Info,
        _ => RDKafkaLogLevel::Debug,
    }
}

/// A message, borrowed from its event.
pub struct Message<'e>(&'e rd::rd_kafka_message_t);

impl<'e> Message<'e> {
    pub fn topic(&self) -> &'e [u8] {
        // SAFETY: a message that was fetched has a topic, whose name lives as long as it does.
        unsafe { CStr::from_ptr(rd::rd_kafka_topic_name(self.0.rkt)) }.to_bytes()
    }

    pub fn number(&self) -> i32 {
        self.0.partition
    }

    pub fn offset(&self) -> Offset {
        self.0.offset
    }

    pub fn key(&self) -> Option<&'e [u8]> {
        // SAFETY: the message says how long its key is, and it lives as long as the event.
        unsafe { bytes_of(self.0.key.cast(), self.0.key_len) }
    }

    pub fn payload(&self) -> Option<&'e [u8]> {
        // SAFETY: as for the key.
        unsafe { bytes_of(self.0.payload.cast(), self.0.len) }
    }

    /// In microseconds since 1970 UTC.
    pub fn timestamp(&self) -> Option<i64> {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive, the result is ours.
        let millis = unsafe { rd::rd_kafka_message_timestamp(self.0, &mut kind) };
        let told = kind != rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        (told && millis >= 0).then(|| millis.saturating_mul(1_000))
    }

    /// Writes the headers as JSON text (see [`schema`](super::super::records::schema)) into
    /// `text`; whether there are any.
    pub fn headers(&self, text: &mut String) -> bool {
        text.clear();
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive, and its headers live as long as it does.
        let failed = unsafe { rd::rd_kafka_message_headers(self.0, &mut headers) };
        if failed != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || headers.is_null() {
            return false;
        }
        for index in 0.. {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the headers are alive; past the last one the call fails and writes nothing.
            let (failed, name, value) = unsafe {
                let failed =
                    rd::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size);
                if failed != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    (true, String::new(), None)
                } else {
                    (false, text_of(name), bytes_of(value.cast(), size))
                }
            };
            if failed {
                break;
            }
            text.push(if index == 0 { '[' } else { ',' });
            push_header(text, &name, value);
        }
        if !text.is_empty() {
            text.push(']');
        }
        !text.is_empty()
    }
}

fn push_header(text: &mut String, name: &str, value: Option<&[u8]>) {
    let value = match value.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => serde_json::Value::Null,
        Some((_, Ok(value))) => value.into(),
        Some((bytes, Err(_))) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            serde_json::json!({ "hex": hex })
        }
    };
    text.push_str(&serde_json::json!([name, value]).to_string());
}

fn places(list: &rd::rd_kafka_topic_partition_list_t) -> Vec<Place> {
    let count = usize::try_from(list.cnt).unwrap_or_default();
    if count == 0 || list.elems.is_null() {
        return Vec::new();
    }
    // SAFETY: the list says how many elements it has, and lives at least as long as this borrow.
    let elements = unsafe { slice::from_raw_parts(list.elems, count) };
    elements.iter().map(place).collect()
}

fn place(element: &rd::rd_kafka_topic_partition_t) -> Place {
    // SAFETY: an element's topic is a text that lives as long as the element.
    (unsafe { text_of(element.topic) }, element.partition)
}

/// # Safety
/// `text` is null, or ends in a nul and is alive.
pub(super) unsafe fn text_of(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: promised by the caller.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

/// # Safety
/// `bytes` is null, or `size` bytes from there on are alive for `'a`.
unsafe fn bytes_of<'a>(bytes: *const u8, size: usize) -> Option<&'a [u8]> {
    // SAFETY: promised by the caller.
    (!bytes.is_null()).then(|| unsafe { slice::from_raw_parts(bytes, size) })
}

/// A list as librdkafka takes it, with an offset for each place.
pub fn list<'a>(
    places: impl IntoIterator<Item = (&'a Place, Option<Offset>)>,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for ((topic, number), offset) in places {
        let mut element = list.add_partition(topic, *number);
        if let Some(offset) = offset {
            // Fails only for offsets below zero, and then the element keeps none.
            let _ = element.set_offset(rdkafka::Offset::Offset(offset));
        }
    }
    list
}
