//! What the server says when the answer is no: problem+json (RFC 9457).

use crate::output::printable;
use http::StatusCode;
use serde_json::Value;
use vigo_base::Exit;
use vigo_syntax::DiagnosticReport;

/// A refusal by the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The word from the server's list; empty when the answer was no problem document.
    pub code: String,
    /// What of this request.
    pub detail: String,
    /// What to do; may be empty.
    pub help: String,
    /// What is wrong with the tree.
    pub diagnostics: Vec<DiagnosticReport>,
}

impl Problem {
    /// Reads an answer whose status says no. What is no problem document (a proxy's page) is told by its status alone.
    #[must_use]
    pub fn read(status: StatusCode, kind: &str, body: &[u8]) -> Self {
        let document = kind.eq_ignore_ascii_case("application/problem+json");
        let value =
            document.then(|| serde_json::from_slice::<Value>(body).ok()).flatten().unwrap_or_default();
        let text = |name: &str| printable(value.get(name).and_then(Value::as_str).unwrap_or_default(), 4096);
        let detail = [text("detail"), text("title")].into_iter().find(|text| !text.is_empty());
        let detail = detail.unwrap_or_else(|| format!("the server answered {status}"));
        let diagnostics = value.get("diagnostics").cloned().map(serde_json::from_value);
        Self {
            status: status.as_u16(),
            code: text("code"),
            detail,
            help: text("help"),
            diagnostics: diagnostics.and_then(Result::ok).unwrap_or_default(),
        }
    }

    /// How the program ends by it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self.status {
            401 | 403 => Exit::NotPermitted,
            // Understood, done, and the answer is that the policy is wrong.
            422 => Exit::Bad,
            _ => Exit::CannotRun,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, kind: &str, body: &str) -> Problem {
        Problem::read(StatusCode::from_u16(status).unwrap(), kind, body.as_bytes())
    }

    #[test]
    fn a_problem_says_what_and_what_to_do() {
        let body = r#"{"type":"urn:vigo:problem:conflict","title":"conflict","status":409,"code":"conflict","detail":"base 3 is not current","help":"plan again"}"#;
        let problem = read(409, "application/problem+json", body);
        assert_eq!((problem.code.as_str(), problem.detail.as_str()), ("conflict", "base 3 is not current"));
        assert_eq!(problem.help, "plan again");
        assert_eq!(problem.exit(), Exit::CannotRun);
    }

    #[test]
    fn who_may_not_and_who_is_unknown_end_with_the_same_code() {
        for status in [401, 403] {
            assert_eq!(read(status, "application/problem+json", "{}").exit(), Exit::NotPermitted);
        }
    }

    #[test]
    fn diagnostics_come_with_a_refused_tree() {
        let body = r#"{"title":"wrong","diagnostics":[{"code":"V010","severity":"error","file":"a.vgo","line":2,"column":1,"message":"m","help":"","related":[]}]}"#;
        let problem = read(422, "application/problem+json", body);
        assert_eq!((problem.diagnostics[0].line, problem.detail.as_str()), (2, "wrong"));
        assert_eq!(problem.exit(), Exit::Bad);
    }

    #[test]
    fn the_page_of_a_proxy_is_told_by_its_status() {
        let problem = read(502, "text/html", "<h1>Bad Gateway</h1>");
        assert_eq!(problem.detail, "the server answered 502 Bad Gateway");
        let problem = read(500, "application/problem+json", "{ broken");
        assert_eq!(problem.detail, "the server answered 500 Internal Server Error");
    }

    #[test]
    fn what_a_server_sends_cannot_steer_the_terminal() {
        let body = "{\"detail\":\"a\\u001b[2Jb\",\"help\":\"c\\nd\"}";
        let problem = read(400, "application/problem+json", body);
        assert!(!problem.detail.contains('\u{1b}') && !problem.help.contains('\n'), "{problem:?}");
    }
}
