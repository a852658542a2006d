//! The ARNs of meetings.

use campanile_control::{AccountId, MeetingId, Rule, Violation};

/// The member that holds one, as messages write it.
pub(crate) const MEMBER: &str = "resourceARN";
/// The model's AmazonResourceName.
const LONGEST: usize = 1011;
const PATTERN: &str = "^arn:.*";

/// `arn:aws:chime:<control region>:<account>:meeting/<id>`.
pub fn of_meeting(region: &str, account: &AccountId, meeting: MeetingId) -> String {
    format!("arn:aws:chime:{region}:{account}:meeting/{meeting}")
}

/// Checks what the model says of every ARN.
pub(crate) fn check(text: &str) -> Result<(), Violation> {
    if text.is_empty() {
        return Err(Violation::new(MEMBER, Rule::LengthAtLeast(1)));
    }
    if text.chars().nth(LONGEST).is_some() {
        return Err(Violation::new(MEMBER, Rule::LengthAtMost(LONGEST)));
    }
    if !text.starts_with("arn:") {
        return Err(Violation::of_value(MEMBER, text, Rule::Pattern(PATTERN)));
    }
    Ok(())
}

/// The account and the meeting that an ARN names. Both forms of AWS are read: `meeting/<id>` and, as the events of media
/// pipelines have it, `meeting:<id>`. The Region is not looked at: those events leave it out.
pub fn meeting(text: &str) -> Option<(&str, MeetingId)> {
    let mut parts = text.splitn(6, ':');
    let (arn, partition) = (parts.next()?, parts.next()?);
    let (service, _region, account) = (parts.next()?, parts.next()?, parts.next()?);
    let resource = parts.next()?;
    if arn != "arn" || !partition.starts_with("aws") || service != "chime" {
        return None;
    }
    let id = resource.strip_prefix("meeting/").or_else(|| resource.strip_prefix("meeting:"))?;
    Some((account, id.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "2f1c9a1e-0000-4000-8000-0123456789ab";

    #[test]
    fn what_is_made_is_read() {
        let account = AccountId("000000000000".into());
        let text = of_meeting("us-east-1", &account, ID.parse().unwrap());
        assert_eq!(text, format!("arn:aws:chime:us-east-1:000000000000:meeting/{ID}"));
        assert_eq!(meeting(&text), Some(("000000000000", ID.parse().unwrap())));
    }

    #[test]
    fn both_forms_of_aws() {
        for text in ["arn:aws:chime::1:meeting:{m}", "arn:aws-us-gov:chime:us-gov-west-1:1:meeting/{m}"] {
            assert_eq!(meeting(&text.replace("{m}", ID)), Some(("1", ID.parse().unwrap())), "{text}");
        }
        for text in [
            "",
            "arn:aws:chime:r:1",
            "arn:aws:chime:r:1:meeting/x",
            "arn:aws:chime:r:1:meeting/{m}/attendee",
            "arn:aws:chime:r:1:app-instance/{m}",
            "arn:aws:sqs:r:1:meeting/{m}",
            "arn:gcp:chime:r:1:meeting/{m}",
            "arn:aws:chime:r:1:{m}",
        ] {
            assert_eq!(meeting(&text.replace("{m}", ID)), None, "{text}");
        }
    }

    #[test]
    fn bounds_of_the_model() {
        for (text, rule) in [
            (String::new(), Some(Rule::LengthAtLeast(1))),
            ("x".into(), Some(Rule::Pattern(PATTERN))),
            ("arn:".into(), None),
            (format!("arn:{}", "é".repeat(1007)), None),
            (format!("arn:{}", "é".repeat(1008)), Some(Rule::LengthAtMost(1011))),
        ] {
            assert_eq!(check(&text).err().map(|violation| violation.rule), rule, "{text}");
        }
    }
}
