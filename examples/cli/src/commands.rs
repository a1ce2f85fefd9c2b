//! What the commands do once their job is ready.

use mailmove_core::{
    Mend,
    destination::Depth,
    report::{MOST_LISTED, Plan, Report, Status, Tally, Verification},
};
use serde::Serialize;

use crate::{
    args::{MigrateArgs, Switch, VerifyArgs},
    exit::Exit,
    failure::Failure,
    job::Job,
    output, report,
};

pub(crate) async fn migrate(args: &MigrateArgs) -> Result<Exit, Failure> {
    let job = Job::open(&args.job, &args.select, &args.output, args.repair).await?;
    let ran = job.migration.run().await;
    job.progress.finish();
    let report = ran.map_err(|error| job.locate(error))?;
    show_report(&report, args.output.json);
    Ok(Exit::of_report(&report))
}

pub(crate) async fn retry(args: &MigrateArgs) -> Result<Exit, Failure> {
    let job = Job::open(&args.job, &args.select, &args.output, args.repair).await?;
    let ran = job.migration.retry().await;
    job.progress.finish();
    let report = ran.map_err(|error| job.locate(error))?;
    show_report(&report, args.output.json);
    Ok(Exit::of_report(&report))
}

pub(crate) async fn plan(args: &MigrateArgs) -> Result<Exit, Failure> {
    let job = Job::open(&args.job, &args.select, &args.output, args.repair).await?;
    let planned = job.unless_stopped(job.migration.plan()).await;
    job.progress.finish();
    let plan = planned?;
    if args.output.json {
        output::json(&PlanLine {
            event: "plan",
            plan: &plan,
        });
    } else {
        output::result(&report::plan(&plan));
    }
    Ok(Exit::Complete)
}

pub(crate) async fn verify(args: &VerifyArgs) -> Result<Exit, Failure> {
    let job = Job::open(&args.job, &args.select, &args.output, Switch::On).await?;
    let depth = if args.full {
        Depth::Content
    } else {
        Depth::Meta
    };
    let mut repaired = None;
    if args.repair {
        let mend = Mend::new(depth).with_removed(args.restore_removed);
        let ran = job.migration.mend(mend).await;
        if !ran.as_ref().is_ok_and(ends_by_itself) {
            job.progress.finish();
            let report = ran.map_err(|error| job.locate(error))?;
            show_report(&report, args.output.json);
            return Ok(Exit::of_report(&report));
        }
        repaired = ran.ok();
    }
    let compared = job.unless_stopped(job.migration.verify(depth)).await;
    job.progress.finish();
    if let Some(report) = &repaired {
        show_report(report, args.output.json);
    }
    let verification = compared?;
    show_verification(&verification, args.output.json, MOST_LISTED);
    // A copy that could not be removed shows in the report alone.
    Ok(match repaired {
        Some(report) if verification.is_clean() => Exit::of_report(&report),
        _ => Exit::of_verification(&verification),
    })
}

/// Whether a pass came to its end.
fn ends_by_itself(report: &Report) -> bool {
    matches!(
        report.status(),
        Status::Complete | Status::CompleteWithFailures
    )
}

pub(crate) fn show_report(report: &Report, json: bool) {
    if json {
        output::json(&ReportLine {
            event: "report",
            status: report.status(),
            total: report.total(),
            report,
        });
    } else {
        output::result(&report::pass(report));
    }
}

/// As text with so many differences one by one.
pub(crate) fn show_verification(verification: &Verification, json: bool, most: usize) {
    if json {
        output::json(&VerificationLine {
            event: "verification",
            clean: verification.is_clean(),
            verification,
        });
    } else {
        output::result(&report::verification(verification, most));
    }
}

#[derive(Serialize)]
struct ReportLine<'a> {
    event: &'static str,
    status: Status,
    total: Tally,
    #[serde(flatten)]
    report: &'a Report,
}

#[derive(Serialize)]
struct PlanLine<'a> {
    event: &'static str,
    #[serde(flatten)]
    plan: &'a Plan,
}

#[derive(Serialize)]
struct VerificationLine<'a> {
    event: &'static str,
    clean: bool,
    #[serde(flatten)]
    verification: &'a Verification,
}
