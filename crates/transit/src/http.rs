//! As much of HTTP/1.1 (RFC 9112) as one request and its answer take: written whole, read within bounds. No I/O.

use vigo_secret::SecretBuf;

/// The longest head of an answer.
pub const HEAD: usize = 16 << 10;
/// The longest body.
pub const BODY: usize = 64 << 10;
/// Lines of a head.
const LINES: usize = 100;

/// An answer.
pub struct Response {
    /// Its code.
    pub status: u16,
    /// Its body, which may hold a key.
    pub body: SecretBuf,
}

/// The bytes of a request. `last` asks the other side to close the connection behind its answer.
pub(crate) fn request(
    authority: &str,
    path: &str,
    token: Option<&SecretBuf>,
    body: &SecretBuf,
    last: bool,
) -> SecretBuf {
    let token_length = token.map_or(0, SecretBuf::len);
    let mut request =
        SecretBuf::with_capacity(512 + authority.len() + path.len() + token_length + body.len());
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: vigosrv\r\nAccept: application/json\r\n"
    );
    request.append(head.as_bytes());
    if let Some(token) = token {
        request.append(b"X-Vault-Token: ");
        request.append(token.expose());
        request.append(b"\r\n");
    }
    let connection = if last { "close" } else { "keep-alive" };
    let length = body.len();
    let rest = format!(
        "X-Vault-Request: true\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n"
    );
    request.append(rest.as_bytes());
    request.append(body.expose());
    request
}

/// How the end of a body is known.
enum Length {
    Bytes(usize),
    Chunks,
    UntilTheEnd,
}

/// Reads an answer from what has come of it so far; `None` while more has to come. `is_end`: nothing more will.
///
/// # Errors
/// When it is none, is longer than [`HEAD`] and [`BODY`], or more comes than was asked for.
pub fn read_response(bytes: &[u8], is_end: bool) -> Result<Option<Response>, &'static str> {
    let Some(end) = bytes.windows(4).take(HEAD).position(|four| four == b"\r\n\r\n") else {
        return match bytes.len() {
            length if length >= HEAD + 4 => Err("its head has more than 16 KiB"),
            _ if is_end => Err("it ended in its head"),
            _ => Ok(None),
        };
    };
    let (head, rest) = bytes.split_at_checked(end).unwrap_or_default();
    let rest = rest.get(4..).unwrap_or_default();
    let (status, length) = read_head(head)?;
    let body = match length {
        Length::Bytes(length) => match rest.len() {
            have if have < length && is_end => return Err("it ended in its body"),
            have if have < length => return Ok(None),
            have if have > length => return Err("more came than it announced"),
            _ => SecretBuf::copy_of(rest),
        },
        Length::Chunks => match read_chunks(rest)? {
            Some(body) => body,
            None if is_end => return Err("it ended in its body"),
            None => return Ok(None),
        },
        Length::UntilTheEnd if rest.len() > BODY => return Err("its body has more than 64 KiB"),
        Length::UntilTheEnd if is_end => SecretBuf::copy_of(rest),
        Length::UntilTheEnd => return Ok(None),
    };
    Ok(Some(Response { status, body }))
}

fn read_head(head: &[u8]) -> Result<(u16, Length), &'static str> {
    let head = std::str::from_utf8(head).map_err(|_| "its head is no text")?;
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let code = first.strip_prefix("HTTP/1.1 ").or_else(|| first.strip_prefix("HTTP/1.0 "));
    let code = code.ok_or("it is no HTTP/1.1")?.get(..3).unwrap_or_default();
    let status = number(code).and_then(|code| u16::try_from(code).ok()).ok_or("it has no status")?;
    if !(200..600).contains(&status) {
        return Err("its status is none that ends a request");
    }
    let (mut length, mut chunks) = (None, false);
    for (count, line) in lines.enumerate() {
        let (name, value) = line.split_once(':').ok_or("a line of its head has no name")?;
        if count >= LINES || name.is_empty() || name.contains(|sign: char| !sign.is_ascii_graphic()) {
            return Err("its head has too many lines, or one with a wrong name");
        }
        let value = value.trim_matches([' ', '\t']);
        if name.eq_ignore_ascii_case("content-length") {
            let bytes = number(value).filter(|bytes| *bytes <= BODY);
            let bytes = bytes.ok_or("its length is no number, or above 64 KiB")?;
            if length.replace(bytes).is_some() {
                return Err("it has two lengths");
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if chunks || !value.eq_ignore_ascii_case("chunked") {
                return Err("its body is encoded in a way that was not asked for");
            }
            chunks = true;
        }
    }
    let length = match (length, chunks) {
        (Some(_), true) => return Err("it has a length and chunks"),
        (Some(length), false) => Length::Bytes(length),
        (None, true) => Length::Chunks,
        (None, false) if status == 204 => Length::Bytes(0),
        (None, false) => Length::UntilTheEnd,
    };
    Ok((status, length))
}

/// Digits and nothing else, seven at most.
fn number(text: &str) -> Option<usize> {
    let is_one = (1..=7).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_one)
}

/// The chunks of a body (RFC 9112, 7.1); `None` while more has to come. Trailers are refused.
fn read_chunks(mut bytes: &[u8]) -> Result<Option<SecretBuf>, &'static str> {
    let mut body = SecretBuf::with_capacity(BODY);
    loop {
        let Some(end) = bytes.windows(2).take(32).position(|two| two == b"\r\n") else {
            return if bytes.len() > 32 { Err("a chunk has no size") } else { Ok(None) };
        };
        let (line, rest) = bytes.split_at_checked(end).unwrap_or_default();
        let rest = rest.get(2..).unwrap_or_default();
        let size = std::str::from_utf8(line).ok().and_then(|line| line.split(';').next()).unwrap_or_default();
        let is_size = (1..=5).contains(&size.len()) && size.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = usize::from_str_radix(size, 16).ok().filter(|_| is_size).ok_or("a chunk has no size")?;
        if size + body.len() > BODY {
            return Err("its body has more than 64 KiB");
        }
        let Some((chunk, behind)) = rest.split_at_checked(size) else { return Ok(None) };
        let Some((end, behind)) = behind.split_at_checked(2) else { return Ok(None) };
        if end != b"\r\n" {
            return Err(if size == 0 { "it has a trailer" } else { "a chunk has another size than it says" });
        }
        if size == 0 {
            return if behind.is_empty() { Ok(Some(body)) } else { Err("more came than it announced") };
        }
        body.append(chunk);
        bytes = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<(u16, Vec<u8>)>, &'static str> {
        let read = read_response(text.as_bytes(), true)?;
        Ok(read.map(|response| (response.status, response.body.expose().to_vec())))
    }

    #[test]
    fn the_three_ways_to_end_a_body_are_read() {
        let whole = Ok(Some((200, b"abc".to_vec())));
        assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"), whole);
        assert_eq!(
            read("HTTP/1.1 200\r\ntransfer-encoding:  Chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n"),
            whole
        );
        assert_eq!(read("HTTP/1.0 200 OK\r\nX: y\r\n\r\nabc"), whole);
        assert_eq!(read("HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"), Ok(Some((204, Vec::new()))));
    }

    #[test]
    fn an_answer_is_read_however_it_is_cut() {
        for text in [
            "HTTP/1.1 503 Sealed\r\nContent-Length: 4\r\n\r\nabcd",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ] {
            for cut in 0..text.len() {
                assert!(matches!(read_response(&text.as_bytes()[..cut], false), Ok(None)), "{cut} of {text}");
                assert!(read_response(&text.as_bytes()[..cut], true).is_err(), "{cut} of {text}");
            }
            assert!(matches!(read_response(text.as_bytes(), false), Ok(Some(_))), "{text}");
        }
    }

    #[test]
    fn what_is_no_such_answer_is_refused() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(HEAD));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n\r\n", "X: y\r\n".repeat(LINES + 1));
        let large = format!("HTTP/1.1 200 OK\r\n\r\n{}", "y".repeat(BODY + 1));
        let chunks = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}",
            format!("8000\r\n{}\r\n", "y".repeat(0x8000)).repeat(3)
        );
        for text in [
            "",
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 abc\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nmore",
            "HTTP/1.1 200 OK\r\n folded\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: \u{e4}\u{0}\r\nnothing\r\n\r\n",
            &long,
            &many,
            &large,
            &chunks,
        ] {
            assert!(read(text).is_err(), "{}", text.chars().take(80).collect::<String>());
        }
    }
}
