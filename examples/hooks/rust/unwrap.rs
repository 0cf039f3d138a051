//! A hook that takes the body of a response out of its envelope, and turns an
//! error inside the envelope into a failure of the task. Configuration: at,
//! error, retry.

#[macro_use]
mod qarion_hook;

use qarion_hook::*;

transform!(unwrap);

fn unwrap(r: &Call) -> Result<Option<Vec<u8>>, Error> {
    r.config_keys(&["at", "error", "retry"])?;
    let at = r.config_text("at", "/data")?;
    let error_at = r.config_text("error", "")?;
    let retry = r.config_bool("retry", false)?;

    let body = r.json()?;
    let error = body.at(&error_at);
    if !error_at.is_empty() && says(error) {
        let message = format!("the envelope says: {}", error.text());
        return Err(Error::Failure { code: "envelope_error".into(), message, retry });
    }
    let value = body.at(&at);
    if !value.exists() {
        return Err(failure("no_value", &format!("the body has nothing at {at}")));
    }
    Ok(Some(value.raw.to_vec()))
}

/// null, false and "" stand for no error.
fn says(error: Value) -> bool { !matches!(error.raw, b"" | b"null" | b"false" | b"\"\"") }
