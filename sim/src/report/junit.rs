//! A sweep as JUnit XML, for build servers: a suite per scenario, a test case per seed.

use std::fmt::Write as _;

use super::{Tally, escape::escaped};

/// One seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Its scenario.
    pub scenario: String,
    /// Its seed.
    pub seed: u64,
    /// Real time it took, ms.
    pub wall_ms: u64,
    /// How it failed, if it did.
    pub failure: Option<Failure>,
}

/// How a seed failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its kind: the type by which build servers group failures.
    pub kind: String,
    /// The verdict in one line.
    pub verdict: String,
    /// The report.
    pub report: String,
}

/// The whole document. What a scenario should have reached and has not is a failing case of its own.
#[must_use]
pub fn document(tallies: &[Tally], cases: &[Case]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"cargo sim\">\n");
    for tally in tallies {
        let cases: Vec<&Case> = cases.iter().filter(|case| case.scenario == tally.scenario).collect();
        suite(&mut xml, tally, &cases);
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn suite(xml: &mut String, tally: &Tally, cases: &[&Case]) {
    let unreached = !tally.unmet.is_empty() && tally.is_large();
    let failures = cases.iter().filter(|case| case.failure.is_some()).count() + usize::from(unreached);
    let tests = cases.len() + usize::from(unreached);
    let name = escaped(&tally.scenario);
    // Writing to a String cannot fail.
    let _ = writeln!(xml, "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\">");
    for case in cases {
        let seconds = case.wall_ms as f64 / 1000.0;
        let _ = write!(xml, "    <testcase classname=\"{name}\" name=\"seed {}\" time=\"{seconds:.3}\"", case.seed);
        let _ = match &case.failure {
            None => writeln!(xml, "/>"),
            Some(failure) => writeln!(xml, ">\n{}    </testcase>", element(failure)),
        };
    }
    if unreached {
        let (kind, verdict) = ("not reached".into(), "the sweep did not get where it should".into());
        let failure = element(&Failure { kind, verdict, report: tally.unmet.join("\n") });
        let _ = writeln!(xml, "    <testcase classname=\"{name}\" name=\"expectations\">\n{failure}    </testcase>");
    }
    xml.push_str("  </testsuite>\n");
}

fn element(Failure { kind, verdict, report }: &Failure) -> String {
    let (kind, verdict, report) = (escaped(kind), escaped(verdict), escaped(report));
    format!("      <failure type=\"{kind}\" message=\"{verdict}\">{report}</failure>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_escaped_and_counted() {
        let case = |seed, failure| Case { scenario: "calm".into(), seed, wall_ms: 12, failure };
        let (kind, verdict) = ("P1: lost for _".to_owned(), "P1 <p#1>".to_owned());
        let broken = Some(Failure { kind, verdict, report: "a & \"b\"\u{0}".to_owned() });
        let xml = document(&[Tally::new("calm")], &[case(1, None), case(2, broken)]);
        assert!(xml.contains("<testsuite name=\"calm\" tests=\"2\" failures=\"1\" errors=\"0\">"), "{xml}");
        assert!(xml.contains("<testcase classname=\"calm\" name=\"seed 1\" time=\"0.012\"/>"), "{xml}");
        assert!(
            xml.contains(
                "<failure type=\"P1: lost for _\" message=\"P1 &lt;p#1&gt;\">a &amp; &quot;b&quot;\u{FFFD}</failure>"
            ),
            "{xml}"
        );
    }
}
