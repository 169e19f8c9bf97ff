//! What a cluster says about a topic: its id, which tells it from an earlier one of that name, and
//! how many partitions it has.

use std::ffi::{CString, c_char};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{ClientContext, types::RDKafkaRespErr};

use super::super::SourceError;
use super::native::text_of;

/// The source of a topic whose broker knows no ids (older than Kafka 2.8): there, a topic that was
/// made again can't be told from the one before.
pub const NO_ID: &str = "none";

/// What is known of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub topic: String,
    /// Kafka's topic id as its own tools print it, or [`NO_ID`].
    pub id: Arc<str>,
    pub partitions: usize,
}

/// Frees what librdkafka handed out, however the function is left.
struct Owned<T>(NonNull<T>, unsafe extern "C" fn(*mut T));

impl<T> Owned<T> {
    fn new(pointer: *mut T, free: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        NonNull::new(pointer).map(|pointer| Self(pointer, free))
    }

    fn ptr(&self) -> *mut T {
        self.0.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came with this function to free it, and is freed once.
        unsafe { (self.1)(self.ptr()) }
    }
}

/// Asks for topics, all of which must exist. Blocks for at most about `wait`.
///
/// # Errors
/// `NoSuchTopic`, `Refused`, or `Unreachable`.
pub fn describe<C: ClientContext>(
    client: &Client<C>,
    brokers: &str,
    topics: &[&str],
    wait: Duration,
) -> Result<Vec<Described>, SourceError> {
    let unreachable = |reason: &str| SourceError::Unreachable {
        brokers: brokers.to_owned(),
        reason: reason.to_owned(),
    };
    let event = request(client, topics, wait).ok_or_else(|| unreachable("no answer in time"))?;
    // SAFETY: the event is alive until the end of this function, and so is its text.
    let (code, text) = unsafe {
        (
            rd::rd_kafka_event_error(event.ptr()),
            text_of(rd::rd_kafka_event_error_string(event.ptr())),
        )
    };
    if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Err(failed(
            code.into(),
            &text,
            topics.first().unwrap_or(&""),
            brokers,
        ));
    }
    let mut count = 0;
    // SAFETY: the event is a description, and lives longer than what is borrowed from it.
    let found = unsafe {
        let result = rd::rd_kafka_event_DescribeTopics_result(event.ptr());
        if result.is_null() {
            return Err(unreachable("an answer to another question"));
        }
        let found = rd::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if found.is_null() {
            &[]
        } else {
            slice::from_raw_parts(found, count)
        }
    };
    found
        .iter()
        .map(|found| described(*found, brokers))
        .collect()
}

fn request<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    wait: Duration,
) -> Option<Owned<rd::rd_kafka_event_t>> {
    let names: Vec<CString> = topics
        .iter()
        .filter_map(|t| CString::new(*t).ok())
        .collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let millis = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    let handle = client.native_ptr();
    // SAFETY: the handle outlives the call. The names are copied by the collection; all that is
    // made here is freed here, which librdkafka allows while the request is under way.
    unsafe {
        let collection = Owned::new(
            rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()),
            rd::rd_kafka_TopicCollection_destroy,
        )?;
        let options = Owned::new(
            rd::rd_kafka_AdminOptions_new(
                handle,
                rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            ),
            rd::rd_kafka_AdminOptions_destroy,
        )?;
        let _ = rd::rd_kafka_AdminOptions_set_request_timeout(
            options.ptr(),
            millis,
            ptr::null_mut(),
            0,
        );
        let queue = Owned::new(rd::rd_kafka_queue_new(handle), rd::rd_kafka_queue_destroy)?;
        rd::rd_kafka_DescribeTopics(handle, collection.ptr(), options.ptr(), queue.ptr());
        let event = rd::rd_kafka_queue_poll(queue.ptr(), millis.saturating_add(1_000));
        Owned::new(event, rd::rd_kafka_event_destroy)
    }
}

fn described(
    found: *const rd::rd_kafka_TopicDescription_t,
    brokers: &str,
) -> Result<Described, SourceError> {
    let mut partitions = 0;
    // SAFETY: the description is an element of a living result. An absent error reads as code 0.
    let (topic, code, reason, id) = unsafe {
        let error = rd::rd_kafka_TopicDescription_error(found);
        rd::rd_kafka_TopicDescription_partitions(found, &mut partitions);
        let id = rd::rd_kafka_TopicDescription_topic_id(found);
        let bits = (!id.is_null()).then(|| {
            (
                rd::rd_kafka_Uuid_most_significant_bits(id),
                rd::rd_kafka_Uuid_least_significant_bits(id),
            )
        });
        (
            text_of(rd::rd_kafka_TopicDescription_name(found)),
            rd::rd_kafka_error_code(error),
            text_of(rd::rd_kafka_error_string(error)),
            bits.unwrap_or_default(),
        )
    };
    if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Err(failed(code.into(), &reason, &topic, brokers));
    }
    Ok(Described {
        topic,
        id: id_text(id),
        partitions,
    })
}

/// What an error about a topic means to us.
pub fn failed(code: RDKafkaErrorCode, reason: &str, topic: &str, brokers: &str) -> SourceError {
    let brokers = brokers.to_owned();
    let reason = if reason.is_empty() {
        code.to_string()
    } else {
        reason.to_owned()
    };
    match code {
        RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::InvalidTopic => SourceError::NoSuchTopic {
            topic: topic.to_owned(),
            brokers,
        },
        code if is_refusal(code) => SourceError::Refused {
            brokers,
            reason: format!("{reason} (topic {topic:?})"),
        },
        _ => SourceError::Unreachable { brokers, reason },
    }
}

/// Whether trying again without other rights or credentials is of no use.
pub fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::UnsupportedSASLMechanism
            | RDKafkaErrorCode::Authentication
    )
}

/// A topic id in URL-safe Base64 without padding, which is how Kafka's own tools write it. It has
/// no slash, so it may be a part of an app id.
fn id_text((most, least): (i64, i64)) -> Arc<str> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    if (most, least) == (0, 0) {
        return NO_ID.into();
    }
    let bytes = [most.to_be_bytes(), least.to_be_bytes()].concat();
    let number = bytes
        .iter()
        .fold(0_u128, |number, byte| (number << 8) | u128::from(*byte));
    // 128 bits are 21 letters of 6 bits, and a last one for the 2 bits that are left.
    let mut text: String = (0..21)
        .map(|index| (number >> (122 - 6 * index)) & 63)
        .filter_map(|six| {
            LETTERS
                .get(usize::try_from(six).ok()?)
                .copied()
                .map(char::from)
        })
        .collect();
    text.extend(
        LETTERS
            .get(usize::try_from((number & 3) << 4).unwrap_or(0))
            .copied()
            .map(char::from),
    );
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_id_is_written_as_kafkas_own_tools_do() {
        // The id that Kafka gives its metadata topic, `new Uuid(0L, 1L)`.
        assert_eq!(&*id_text((0, 1)), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(&*id_text((-1, -1)), "_____________________w");
        assert_eq!(&*id_text((0, 0)), NO_ID);
    }
}
