//! ARNs as targets: what they name, and who may have events sent there.

use super::dispatcher::Failure;
use super::for_good;
use crate::config::Allow;

/// The parts that count of `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target<'a> {
    pub(super) region: &'a str,
    pub(super) account: &'a str,
    pub(super) resource: &'a str,
}

impl Target<'_> {
    /// FIFO queues and topics are named so (AWS).
    pub(super) fn is_fifo(&self) -> bool {
        self.resource.ends_with(".fifo")
    }
}

/// Reads an ARN of this service, if the account may have events sent there.
pub(super) fn target<'a>(
    service: &str,
    arn: &'a str,
    account: &str,
    allow: &Allow,
) -> Result<Target<'a>, Failure> {
    let wrong = || for_good(format!("`{arn}` is no ARN of {service}"));
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let &["arn", partition, named, region, owner, resource] = parts.as_slice() else { return Err(wrong()) };
    // The region becomes part of a host name.
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_region = (2..=32).contains(&region.len()) && region.bytes().all(plain);
    if !partition.starts_with("aws") || named != service || !is_region || resource.is_empty() {
        return Err(wrong());
    }
    let allowed = match allow {
        Allow::Any => true,
        Allow::Own => owner == account,
        Allow::Listed(patterns) => patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => arn.starts_with(beginning),
            None => arn == pattern,
        }),
    };
    if !allowed {
        return Err(for_good(format!("notify.allow does not let account {account} send to {arn}")));
    }
    Ok(Target { region, account: owner, resource })
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: &str = "arn:aws:sqs:us-east-1:111122223333:chime.fifo";

    #[test]
    fn an_account_reaches_its_own_targets_and_listed_ones() {
        let read = |account, allow| target("sqs", QUEUE, account, &allow);
        let own = read("111122223333", Allow::Own).unwrap();
        assert_eq!((own.region, own.account, own.resource), ("us-east-1", "111122223333", "chime.fifo"));
        assert!(own.is_fifo());
        let refused = read("444455556666", Allow::Own).unwrap_err();
        assert!(refused.for_good && refused.why.contains("notify.allow"), "{refused:?}");
        assert!(read("444455556666", Allow::Any).is_ok());
        for (pattern, allowed) in [
            (QUEUE, true),
            ("arn:aws:sqs:us-east-1:111122223333:*", true),
            ("arn:aws:sqs:us-east-1:111122223333:chime", false),
            ("arn:aws:sqs:eu-west-1:*", false),
        ] {
            let allow = Allow::Listed(vec![pattern.to_owned()]);
            assert_eq!(read("111122223333", allow).is_ok(), allowed, "{pattern}");
        }
    }

    #[test]
    fn what_is_no_arn_of_the_service_is_given_up_at_once() {
        for arn in [
            "queue",
            "arn:aws:sns:us-east-1:111122223333:chime",
            "arn:aws:sqs::111122223333:chime",
            "arn:aws:sqs:evil.example.org/:111122223333:chime",
            "arn:aws:sqs:us-east-1:111122223333:",
            "arn:else:sqs:us-east-1:111122223333:chime",
        ] {
            let refused = target("sqs", arn, "111122223333", &Allow::Any).unwrap_err();
            assert!(refused.for_good && refused.why.contains("no ARN of sqs"), "{refused:?}");
        }
    }
}
